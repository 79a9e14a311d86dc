"""What customers of a shop write, and the reply: about delivery, money back, faulty goods and everything else."""

from __future__ import annotations

from random import Random

from .turns import Sample, ask, table, words

THINGS = {
    "zh": words("手机 耳机 鞋子 衬衫 外套 帽子 杯子 台灯 书包 玩具 键盘 雨伞 锅 手表 椅子 书"),
    "en": words("phone headset shirt coat hat cup lamp bag toy keyboard umbrella pan watch chair book kettle"),
}
# language | the reply | messages, {t} is what was bought
MESSAGES = table("""
    zh|您好，我马上帮您查一下送货的情况。|我买的{t}怎么还没到;{t}的快递走到哪了;{t}什么时候能送到;为什么{t}还不发货;
        快递单号查不到{t}的物流;包裹到了吗;{t}寄到哪里了;送货太慢了，{t}还在路上;今天能收到{t}吗;快递员没有把{t}送来;
        物流信息一直没有更新;{t}已经寄出了吗;三天了{t}还没有送到;包裹显示已签收，我没有拿到{t};能不能快点送{t}
    zh|您好，我马上帮您处理退钱的事。|我不想要{t}了，请退钱;{t}可以退货吗;{t}的退款什么时候到账;请取消{t}的订单;
        {t}买贵了，把钱退给我;怎么申请退款;我要退掉{t};退回去的{t}还没有退款;钱还没有退到卡里;{t}多收了我的钱;
        同一件{t}付了两次款;我要把{t}退回去;订单取消了，钱没有退;不合适，想退{t};退{t}要多久拿到钱
    zh|您好，很抱歉商品有问题，我马上帮您换一个。|{t}是坏的;{t}用了一天就坏了;{t}有划痕;收到的{t}裂开了;{t}质量太差;
        {t}打不开;{t}掉色了;{t}少了一个零件;{t}有难闻的味道;{t}和图片不一样;{t}破了一个洞;{t}一碰就断;{t}做得很粗糙;
        {t}没用几次就不能用了;{t}的开关失灵了
    zh|您好，这个问题我马上帮您问一下。|你们几点开门;可以开发票吗;有没有优惠券;怎么成为会员;我忘记了密码;店在什么地方;
        {t}有别的颜色吗;{t}有没有大号;还有{t}卖吗;{t}打折吗;电话是多少;周末营业吗;怎么修改账号;{t}怎么用;
        积分可以换{t}吗
    en|Hello, I will look up the delivery for you.|my {t} has not arrived;where is my {t};
        when will the {t} be delivered;the parcel with the {t} is late;has my order been shipped;
        the {t} is still on the way;tracking shows nothing for the {t};the courier did not bring the {t};
        when do you send the {t};delivery of the {t} is too slow;I am still waiting for my {t};
        the package says delivered, but I have no {t}
    en|Hello, I will take care of your money.|I want my money back for the {t};can I return the {t};
        please cancel my order of the {t};when do I get my refund;I do not want the {t} any more;
        you charged me twice for the {t};how do I ask for a refund;I sent the {t} back and got no money;
        I paid too much for the {t};give me back the money;I would like to return this {t};
        the refund is not on my card
    en|Hello, I am sorry about the fault, I will send a new one.|the {t} is broken;the {t} stopped working;
        the {t} has a crack;there is a scratch on the {t};the {t} is badly made;the {t} does not turn on;
        a part of the {t} is missing;the {t} smells bad;the {t} has a hole;the {t} fell apart after a day;
        the colour of the {t} came off;the {t} is damaged
    en|Hello, I will find that out for you.|when do you open;can I have an invoice;do you have coupons;
        how do I become a member;I forgot my password;where is your shop;do you have the {t} in blue;
        is there a bigger {t};do you sell any {t};is the {t} on sale;what is your phone number;are you open on Sunday
""")
ENDS = {
    "zh": ("。", "？", "！", "", "，谢谢。", "，请帮忙看看。"),
    "en": (".", "?", "!", "", ", please help.", ", thanks."),
}
STARTS = {"zh": ("", "", "你好，", "客服你好，", "请问"), "en": ("", "", "hello, ", "hi, ", "dear shop, ")}


def message(rng: Random) -> Sample:
    """Draw a customer's message and the shop's reply."""
    language, reply, messages = rng.choice(MESSAGES)
    core = rng.choice(messages.split(";")).format(t=rng.choice(THINGS[language]))
    text = rng.choice(STARTS[language]) + core + rng.choice(ENDS[language])
    return ask("shop", text[0].upper() + text[1:] if rng.random() < 0.7 else text, reply, key=core)


TASKS = {"shop": (4.0, message)}
