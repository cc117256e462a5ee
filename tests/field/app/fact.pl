#!/usr/bin/swipl
:- initialization(main, main).
:- use_module(library(clpfd)).
main :- X #= 6 * 7, format("~w~n", [X]).
