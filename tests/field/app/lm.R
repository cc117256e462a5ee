#!/usr/bin/Rscript
coef(lm(dist ~ speed, cars))
