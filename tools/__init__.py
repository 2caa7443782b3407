"""What a maintainer runs, and what a notebook runs to set itself up."""
