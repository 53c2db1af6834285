"""What a person may ask for: to be forgotten, and to see what is held about them."""
