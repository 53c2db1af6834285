"""What operators ask: is it alive, is it ready, what is it doing."""
