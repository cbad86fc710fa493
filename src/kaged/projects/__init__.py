"""Projects: owns `.kaged/project.yaml` (reading, overlay, trust, prompts), which folders may be projects, the sample.

A wrong file gives a list of sentences with file, line and column; no text makes the reader do anything but that; each
file of a project is read without leaving its folder. Runs nothing of a project and resolves no model."""
