"""Reading files for knowledge: finding them, telling what is in them, cutting them into chunks."""
