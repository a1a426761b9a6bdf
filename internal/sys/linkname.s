// There is nothing here: a file of this kind lets the compiler accept functions without a body, which are the runtime's.
