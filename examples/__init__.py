"""End-to-end examples of generative and sequence models, one package each."""
