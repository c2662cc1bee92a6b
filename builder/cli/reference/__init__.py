"""The pages and schemas that are made from the program itself."""
