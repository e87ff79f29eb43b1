"""First-principles validation: engines behind one contract, competing phases, deviations from the potential."""
