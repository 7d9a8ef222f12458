"""From prompts to labels: what this project exists for."""
