"""Known crystals: their hull, their fingerprints, and the table that the package ships."""
