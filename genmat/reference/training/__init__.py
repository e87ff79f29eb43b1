"""What models are pretrained on: crystals of a table, labelled on the energy scale of a reference."""
