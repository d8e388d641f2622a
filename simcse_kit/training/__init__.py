"""Training: objectives, recipes, and runs that can be killed and resumed."""
