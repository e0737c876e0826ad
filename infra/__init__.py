"""The deployment on AWS, a construct a file: `app.py` makes the stacks of `stacks.py` from a `Deployment`."""
