"""Measured claims: each module measures one, by one command."""
