let hello x = x + 1
