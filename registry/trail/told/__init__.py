"""What the trail says of each kind of thing, compared with what its rows say."""
