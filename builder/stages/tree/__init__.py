"""What a recipe says of the files of its tree besides packages."""
