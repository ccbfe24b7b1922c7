"""Who pays for an object, and the stamp that keeps the answer on the object."""
