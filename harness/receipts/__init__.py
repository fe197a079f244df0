"""What each step of a measurement claims to have done, checked by other means than its own."""
