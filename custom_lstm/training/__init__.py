"""The main job: options, training by either loop, the run folder, scores."""
