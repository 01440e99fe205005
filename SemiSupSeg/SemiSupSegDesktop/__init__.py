"""Qt panels of the Slicer module, over Session and Scene. No rule lives here: a button obeys ``session.may_*``."""
