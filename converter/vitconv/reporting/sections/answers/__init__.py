"""Sections on what files answer: classes, confidence, disagreements, bad pictures. Imports evaluation."""
