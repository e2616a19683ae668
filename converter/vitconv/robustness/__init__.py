"""How much accuracy is left on bad pictures: noise, blur, fog, shaking hands. Imports classifiers and runtimes."""
