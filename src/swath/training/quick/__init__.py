"""The quick recipe: a small head on features of a frozen encoder, fitted on labeled pixels."""
