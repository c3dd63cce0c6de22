"""From images to maps, resumable."""
