"""Judgements about sentences: how two relate, whether a review is good, what a sentence is about."""

from __future__ import annotations

from random import Random

from .lexicon import EN_NAMES, ZH_NAMES
from .turns import Sample, ask, other, table, words

PAIR_ZH = "请判断下边两个句子的关系属于 [entailment, neutral, contradiction]中的哪一种？\n句子1: {}\n句子2：{}\n"
PAIR_EN = (
    "Which relation do the two sentences have: entailment, neutral or contradiction?\nSentence 1: {}\nSentence 2: {}\n"
)
RELATIONS = ("entailment", "neutral", "contradiction")

# premise | entailed, two of them | neutral, two of them | contradicted, two of them
PAIRS_ZH = table("""
    {a}昨天在{p}{v}。|{a}昨天去了{p}|{a}昨天{v}了|{a}每天都去{p}|{a}很喜欢{p}|{a}昨天没有去{p}|{a}昨天一直在{q}
    {a}正在{p}{v}。|{a}现在在{p}|有人在{p}|{a}在等朋友|{a}心情很好|{a}现在在{q}|{p}里没有人
    {a}有{n}个{t}。|{a}有{t}|{a}的{t}不止一个|{a}喜欢{t}|{t}是{b}送的|{a}没有{t}|{a}只有一个{t}
    {a}比{b}高。|{b}比{a}矮|{a}和{b}不一样高|{a}比{b}聪明|{b}比{a}胖|{b}比{a}高|{a}和{b}一样高
    {a}买了一个{t}给{b}。|{b}得到了一个{t}|{a}买了东西|{b}很喜欢{t}|{t}很贵|{a}什么也没有买|{b}没有得到{t}
    {a}和{b}都会{v}。|{a}会{v}|{b}会{v}|{a}教{b}{v}|{a}{v}比{b}好|{a}不会{v}|{b}不会{v}
    今天{p}里一个人也没有。|今天没有人去{p}|今天{p}里很空|今天天气不好|{p}今天关门|今天{p}里人很多|{a}今天在{p}里
    {a}因为下雨没有去{p}。|{a}没有去{p}|下雨了|{a}很失望|{b}也没有去{p}|{a}去了{p}|今天没有下雨
    所有的学生都喜欢{v}。|有的学生喜欢{v}|没有学生讨厌{v}|老师也喜欢{v}|学生们{v}很好|有的学生不喜欢{v}|
        没有学生喜欢{v}
    {a}把{t}放在了{p}。|{t}在{p}|{a}去过{p}|{t}是新的|{b}在找{t}|{t}在{q}|{a}没有拿过{t}
    {a}今年{n}岁，{b}比{a}小。|{a}比{b}大|{b}还不到{n}岁|{a}是{b}的哥哥|{b}今年上学|{a}比{b}小|{b}比{a}大
    {a}只喝茶，不喝咖啡。|{a}喝茶|{a}不喝咖啡|{a}每天喝茶|{b}喝咖啡|{a}喝咖啡|{a}不喝茶
""")
PAIRS_EN = table("""
    {a} was at the {p} yesterday.|Yesterday {a} went to the {p}|Someone was at the {p}|{a} goes to the {p} every day|
        {a} likes the {p}|{a} was not at the {p} yesterday|Yesterday {a} was only at the {q}
    {a} has {n} {t}s.|{a} has a {t}|{a} has more than one {t}|{a} loves every {t}|{b} has a {t} too|{a} has no {t}|
        {a} has only one {t}
    {a} is taller than {b}.|{b} is shorter than {a}|{a} and {b} differ in height|{a} is older than {b}|
        {b} is smarter than {a}|{b} is taller than {a}|{a} and {b} are equally tall
    {a} bought a {t} for {b}.|{a} bought something|{b} got a {t}|{b} likes the {t}|The {t} was expensive|
        {a} bought nothing|{b} did not get a {t}
    {a} and {b} can both {v}.|{a} can {v}|{b} can {v}|{a} taught {b} to {v}|{a} can {v} better than {b}|
        {a} cannot {v}|{b} cannot {v}
    Nobody is at the {p} today.|The {p} is empty today|{a} is not at the {p} today|The weather is bad|
        The {p} is closed today|Many people are at the {p} today|{a} is at the {p} today
    {a} put the {t} in the {p}.|The {t} is in the {p}|{a} had the {t}|The {t} is new|{b} wants the {t}|
        The {t} is in the {q}|{a} never had the {t}
""")
SLOTS_ZH = {
    "p": words("公园 学校 图书馆 超市 医院 饭店 车站 教室 办公室 厨房"),
    "v": words("跑步 看书 唱歌 画画 吃饭 打球 跳舞 写信 下棋 睡觉"),
    "t": words("苹果 杯子 箱子 帽子 书包 球 手机 西瓜 玩具 气球"),
    "n": words("三 四 五 六 七 八 九 十"),
}
SLOTS_EN = {
    "p": words("park school library market hospital station office kitchen garden museum"),
    "v": words("swim dance sing cook read drive paint ski"),
    "t": words("book cup hat ball bag phone pencil lamp toy apple"),
    "n": words("two three four five six seven eight"),
}


def pair(rng: Random) -> Sample:
    """Draw two sentences whose relation is asked for, in the wording of the published example data."""
    zh = rng.random() < 0.65
    forms, slots, names = (PAIRS_ZH, SLOTS_ZH, ZH_NAMES) if zh else (PAIRS_EN, SLOTS_EN, EN_NAMES)
    form, relation = rng.choice(forms), rng.randrange(3)
    values = {name: rng.choice(choices) for name, choices in slots.items()}
    values["q"] = other(rng, slots["p"], values["p"])
    values["a"], values["b"] = rng.sample(names, 2)
    first, second = (text.format(**values) for text in (form[0], form[1 + 2 * relation + rng.randrange(2)]))
    question = (PAIR_ZH if zh else PAIR_EN).format(first, second)
    return ask("sentence pair", question, RELATIONS[relation], key=first + second)


# thing | good points | bad points
REVIEWS_ZH = table("""
    这家餐厅|菜很好吃 服务很热情 环境很干净 上菜很快 价格很实惠|菜太难吃了 服务员很凶 桌子很脏 上菜太慢 又贵又少
    这本书|写得很精彩 内容很有用 让人很感动 值得再读 图画很漂亮|写得很无聊 内容很空洞 看得想睡觉 浪费时间 印刷很差
    这部电影|情节很精彩 演员演得真好 画面很美 笑得停不下来 值得一看|
        情节很无聊 演员演得很假 画面很粗糙 看到一半就走了 太失望了
    这个手机|运行很快 屏幕很清楚 电池很耐用 拍照很漂亮 用起来很顺手|
        经常死机 屏幕坏了 电池很快没电 拍照很模糊 一点也不好用
    这家酒店|房间很干净 床很舒服 早餐很丰富 前台很友好 位置很方便|房间很脏 床太硬了 早餐很差 前台没有礼貌 晚上很吵
    这件衣服|质量很好 颜色很漂亮 穿着很舒服 尺寸很合适 很喜欢|质量很差 洗了就掉色 穿着不舒服 尺寸不对 后悔买了
""")
REVIEWS_EN = table("""
    The food|was delicious;tasted great;was fresh and warm;was worth every cent|was terrible;tasted awful;
        was cold and old;made me sick
    This book|is wonderful;is a joy to read;taught me a lot;is full of good ideas|is boring;is a waste of time;
        taught me nothing;is badly written
    The film|was great;made me laugh;was beautiful;is worth seeing|was dull;made me sleepy;was ugly and long;
        is not worth seeing
    The hotel|was clean;had friendly staff;had soft beds;was a great choice|was dirty;had rude staff;had hard beds;
        was a bad choice
    This phone|works perfectly;is fast;takes lovely photos;is very good|broke at once;is slow;takes bad photos;
        is very bad
""")
ASK_ZH = ("下面的评论是好评还是差评？\n{}", "{}\n这是好评还是差评？", "判断评论：{}（好评/差评）")
ASK_EN = ("Is this review positive or negative?\n{}", "{}\nPositive or negative?", "Review: {}\nSentiment:")


def review(rng: Random) -> Sample:
    """Draw a review of one or two points, good or bad."""
    good = rng.random() < 0.5
    if rng.random() < 0.5:
        thing, *points = rng.choice(REVIEWS_ZH)
        text = thing + "，".join(rng.sample(points[0 if good else 1].split(), rng.randint(1, 2))) + rng.choice("。！")
        return ask("review", rng.choice(ASK_ZH).format(text), "好评" if good else "差评", key=text)
    thing, *points = rng.choice(REVIEWS_EN)
    text = f"{thing} {' and it '.join(rng.sample(points[0 if good else 1].split(';'), rng.randint(1, 2)))}."
    return ask("review", rng.choice(ASK_EN).format(text), "positive" if good else "negative", key=text)


# Chinese topic | its sentences | English topic | its sentences
TOPICS = table("""
    体育|{a}在比赛里进了两个球;昨天的篮球赛很激烈;{a}跑完了马拉松;我们队赢得了冠军;{a}每天练习游泳|sports|
        {a} scored two goals;the team won the cup;{a} ran a long race;the match was very close
    美食|这碗面条又香又辣;{a}做的饺子真好吃;汤里放了很多蔬菜;{a}喜欢吃甜的蛋糕;烤鱼的味道很好|food|
        the soup was hot and tasty;{a} baked a sweet cake;this bread smells good;{a} fried some fish
    天气|今天下午会下大雨;明天气温下降;北方已经下雪了;外面风很大;这几天一直是晴天|weather|it will rain this afternoon;
        the wind is strong today;snow fell in the night;it is sunny and warm
    学习|{a}在准备期末考试;老师布置了很多作业;{a}正在背英语单词;这道数学题很难;{a}在图书馆复习功课|school|
        {a} is doing homework;the teacher asked a hard question;{a} passed the exam;we learn new words in class
    音乐|{a}弹钢琴弹得很好;这首歌的旋律很动听;{a}买了一把吉他;演唱会的门票卖完了;她的歌声很美|music|
        {a} plays the piano;this song has a nice tune;{a} bought a guitar;the concert was loud
    旅行|{a}订了去海边的机票;我们在山里住了三天;{a}坐火车去了北京;这座古城有很多游客;{a}在收拾行李|travel|
        {a} booked a flight;we stayed in the mountains;{a} packed a suitcase;the old town is full of tourists
    动物|小猫在沙发上睡觉;草原上有很多羊;{a}在给小狗洗澡;鸟儿在树上做窝;动物园来了一只大熊猫|animals|
        the cat sleeps on the sofa;birds build a nest;{a} feeds the dog;a bear walks in the forest
    科技|新的电脑运行速度很快;科学家发射了一颗卫星;{a}在写一个程序;机器人可以打扫房间;手机软件需要更新|technology|
        the new computer is fast;{a} writes a program;a robot cleans the floor;the phone needs an update
""")


def topic(rng: Random) -> Sample:
    """Draw a sentence and some topics, of which one fits."""
    zh = rng.random() < 0.5
    row, *rest = rng.sample(TOPICS, rng.randint(2, 4))
    column = 0 if zh else 2
    text = rng.choice(row[column + 1].split(";")).format(a=rng.choice(ZH_NAMES if zh else EN_NAMES))
    labels = [row[column], *(one[column] for one in rest)]
    rng.shuffle(labels)
    if zh:
        form = rng.choice(("下面的句子属于哪一类？选项：{l}\n{t}。", "{t}。\n这句话说的是什么？（{l}）"))
    else:
        form = rng.choice(("Which topic fits the sentence? Topics: {l}\n{t}.", "{t}.\nWhat is it about: {l}?"))
        text = text[0].upper() + text[1:]
    return ask("topic", form.format(l=("、" if zh else ", ").join(labels), t=text), row[column], key=text + labels[0])


TASKS = {"sentence pair": (5.0, pair), "review": (4.0, review), "topic": (3.0, topic)}
