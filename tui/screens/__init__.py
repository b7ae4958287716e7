"""The screens of the app, one mode or dialog each."""
