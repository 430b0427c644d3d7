"""The pure middle: frames in, frames out, ``as_of`` passed in. No clock, no input or output, no randomness."""
