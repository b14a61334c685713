"""Pictures of docs/pictures.md: each step of the intake, drawn from what its code returns."""
