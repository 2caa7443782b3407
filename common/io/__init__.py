"""Files, JSON records, tensors, locks and text output: whole, verified and safe."""
