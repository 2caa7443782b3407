"""Files, JSON records, tensors, locks and terminal output: atomic, verified and safe."""
