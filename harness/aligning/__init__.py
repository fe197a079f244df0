"""Models that are aligned by a recipe: ordinary supervised fine-tuning on public data, and what it has to show."""
