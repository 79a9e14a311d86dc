"""What is minimised. One file a method: `Config`, `ANSWERS`, `REFERENCE`, `RATE`, and `judge` but for sft.

`ANSWERS`: what of the data becomes rows (`data/preferences.py`). `REFERENCE`: whether what the model gave to the answers
before training is compared with. `RATE`: the share of the usual learning rate that is the default. `judge(answers,
config)`: the loss of each pair or answer (`ops/preference.py`).
"""
