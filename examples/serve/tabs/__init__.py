"""The tabs of the page, one an example; each builds its components and connects them to the service."""
