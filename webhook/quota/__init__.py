"""The pure core: costs, limits, the book of usage, the decision. No I/O, no clock, no event loop, no logging."""
