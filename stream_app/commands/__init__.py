"""The commands of `weir`, by subject. They parse arguments and print; what they do is done elsewhere."""
