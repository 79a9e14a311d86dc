"""Small sums, comparisons, sequences and one-line Python questions."""

from __future__ import annotations

from random import Random

from .lexicon import EN_NAMES, NOUNS, ZH_NAMES
from .turns import Sample, ask, words

PLUS = words("""
    {a}+{b}=?
    {a}+{b}=
    {a} + {b}
    {a}加{b}等于多少？
    {a} 加 {b} 等于几？
    计算 {a}+{b}
    What is {a} plus {b}?
    What is {a} + {b}?
    Add {a} and {b}.
    """)
MINUS = words("""
    {a}-{b}=?
    {a}-{b}=
    {a} - {b}
    {a}减{b}等于多少？
    {a} 减 {b} 等于几？
    计算 {a}-{b}
    What is {a} minus {b}?
    What is {a} - {b}?
    Subtract {b} from {a}.
    """)
TIMES = words("""
    {a}×{b}=?
    {a}*{b}=
    {a} x {b}
    {a}乘{b}等于多少？
    {a} 乘以 {b} 等于几？
    计算 {a}×{b}
    What is {a} times {b}?
    Multiply {a} by {b}.
    """)


def add(rng: Random) -> Sample:
    """Draw a sum of two numbers below 20, small ones more often."""
    top = rng.choice((10, 20))
    a, b = rng.randrange(top), rng.randrange(top)
    return ask("add", rng.choice(PLUS).format(a=a, b=b), str(a + b), key=f"{a}+{b}" if top > 10 else "")


def subtract(rng: Random) -> Sample:
    """Draw a difference of two numbers below 20 that is not negative, small ones more often."""
    top = rng.choice((10, 20))
    a, b = sorted((rng.randrange(top), rng.randrange(top)), reverse=True)
    return ask("subtract", rng.choice(MINUS).format(a=a, b=b), str(a - b), key=f"{a}-{b}" if top > 10 else "")


def multiply(rng: Random) -> Sample:
    """Draw a product of two digits."""
    a, b = rng.randrange(10), rng.randrange(10)
    return ask("multiply", rng.choice(TIMES).format(a=a, b=b), str(a * b))


def compare(rng: Random) -> Sample:
    """Draw two numbers to compare, or one to call odd or even."""
    a, b = rng.sample(range(100), 2)
    form = rng.randrange(6)
    if form == 0:
        question, answer = f"{a}和{b}哪个大？", str(max(a, b))
    elif form == 1:
        question, answer = f"{a}和{b}哪个小？", str(min(a, b))
    elif form == 2:
        question, answer = f"Which is bigger, {a} or {b}?", str(max(a, b))
    elif form == 3:
        question, answer = f"Which is smaller, {a} or {b}?", str(min(a, b))
    elif form == 4:
        return ask("compare", f"{a}是奇数还是偶数？", "奇数" if a % 2 else "偶数", key=f"parity {a}")
    else:
        return ask("compare", f"Is {a} odd or even?", "odd" if a % 2 else "even", key=f"parity {a}")
    return ask("compare", question, answer, key=f"{a} {b}")


def sequence(rng: Random) -> Sample:
    """Draw an even sequence to carry on."""
    start, step = rng.randrange(1, 20), rng.choice((1, 1, 2, 10))
    numbers = [start + step * i for i in range(5)]
    form = rng.choice(
        ("{}, {}, {}, {}, 下一个数是什么？", "{}、{}、{}、{}，接下来是几？", "What comes next: {}, {}, {}, {}?")
    )
    return ask("sequence", form.format(*numbers[:4]), str(numbers[4]), key=f"{start} by {step}")


def story_sum(rng: Random) -> Sample:
    """Draw a sum told as a story of things bought or given away."""
    zh, _, many, _ = rng.choice([noun for noun in NOUNS if noun[3] in ("fruit", "vegetable", "animal", "tool")])
    a, b = rng.randint(2, 10), rng.randint(1, 9)
    gains = a <= b or rng.random() < 0.5
    total = a + b if gains else a - b
    if rng.random() < 0.5:
        second = rng.choice(("又买了", "又得到", "又找到")) if gains else rng.choice(("吃了", "送走", "卖了"))
        text = f"{rng.choice(ZH_NAMES)}有{a}个{zh}，{second}{b}个，现在有几个{zh}？"
        return ask("story sum", text, f"{total}个。", key=f"{a}{gains}{b}")
    second = rng.choice(("buys", "finds", "gets")) if gains else rng.choice(("sells", "loses", "gives away"))
    text = f"{rng.choice(EN_NAMES)} has {a} {many} and {second} {b}. How many {many} now?"
    return ask("story sum", text, f"{total}.", key=f"{a}{gains}{b}")


def code(rng: Random) -> Sample:
    """Draw a one-line Python question."""
    zh, en = rng.choice(NOUNS)[:2]
    a, b = rng.randrange(1, 10), rng.randrange(1, 10)
    numbers = [rng.randrange(10) for _ in range(3)]
    place = rng.randrange(3)
    lines = [
        (f'print("{en}")', en), (f'print("{zh}")', zh), (f"print({a} + {b})", str(a + b)),
        (f"print({a} * {b})", str(a * b)), (f"print({numbers}[{place}])", str(numbers[place])),
        (f"print(max({a}, {b}))", str(max(a, b))), (f"print(min({a}, {b}))", str(min(a, b))),
        (f"print({a} == {b})", str(a == b)), (f"print({a} < {b})", str(a < b)),
        (f'print(len("{en}"))', str(len(en))), (f"print(len({numbers[: place + 1]}))", str(place + 1)),
        (f"x = {a}\nprint(x)", str(a)), (f'print("{en}" * 2)', en * 2),
        (f"for i in range({place + 2}):\n    print(i)", "\n".join(map(str, range(place + 2)))),
    ]  # fmt: skip
    line, output = rng.choice(lines)
    form = rng.choice(
        (
            "下面的 Python 代码输出什么？\n{}",
            "这段代码打印什么？\n{}",
            "What does this Python code print?\n{}",
            "What is the output?\n{}",
        )
    )
    return ask("code", form.format(line), output, key=line)


TASKS = {
    "add": (7.0, add),
    "subtract": (5.0, subtract),
    "multiply": (4.0, multiply),
    "compare": (2.0, compare),
    "sequence": (1.0, sequence),
    "story sum": (2.0, story_sum),
    "code": (3.0, code),
}
