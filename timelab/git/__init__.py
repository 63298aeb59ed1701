"""The two doors to git: libgit2 for objects and refs, the program for what libgit2 lacks."""
