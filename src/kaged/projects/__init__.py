"""Projects: the project file and everything it names.

Owns `.kaged/project.yaml`: strict reading with positions, overlay, trust, prompts, the rules about which
folders may be projects, and the sample. Promises that a wrong file gives a list of sentences with file,
line and column, that no text makes the reader do anything but that, and that every file of a project is
read without leaving its folder. Never runs anything of a project and never resolves a model.
"""
