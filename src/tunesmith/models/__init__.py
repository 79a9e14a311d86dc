"""Native models. Importing this package registers them with transformers' AutoConfig and AutoModelForCausalLM."""

from . import minicpm as minicpm
from . import minicpmv as minicpmv
from . import transnormer as transnormer
