"""The sentences of the demo's classification task: customers' messages and the team that each should go to."""

from __future__ import annotations

from .text.turns import words

PROMPTS = {
    "zh": "顾客留言：{}\n应该转给哪个部门？",
    "en": "Customer message: {}\nWhich team should answer?",
}
SENTENCES = {
    "zh": {
        "物流": words("""
            我的{t}到哪里了？
            {t}还没有送到。
            {t}的快递怎么还没到？
            请问{t}发货了吗？
            什么时候发货？
            快递一直没有动。
            物流好几天没有更新了。
            {t}已经寄出三天了，还没收到。
            包裹是不是寄错地方了？
            快递员没有送来我的{t}。
            {t}几天能送到？
            为什么送货这么慢？
            显示已签收，可是我没收到{t}。
            {t}的包裹在路上吗？
            我想查一下快递。
            {t}今天能送来吗？
            下单一周了，{t}还不发货。
            快递单号是多少？
            包裹到了没有？
            请快点送货。
            {t}怎么还没有送到？
            快递员还没有来。
            {t}送到哪里了？
            这个包裹几天能到？
            快递送得太慢了。
            我还没有收到{t}。
            {t}发货了没有？
            {t}哪天发货？
            快递员把{t}送到哪里了？
            {t}怎么还不发货？
            """),
        "退款": words("""
            我要退款。
            请把{t}的钱退给我。
            {t}不想要了，可以退货吗？
            退款什么时候到账？
            我想退掉{t}。
            怎么申请退货？
            {t}退回去了，钱还没有退。
            请取消订单，退钱给我。
            {t}多收了钱，请退给我。
            退款没有到卡里。
            {t}能不能退？
            我付了两次款，请退一次。
            想把{t}退回去。
            退{t}的钱要等多久？
            取消{t}的订单。
            {t}不合适，想退货。
            钱什么时候退给我？
            你们还没有给我退款。
            {t}买错了，我要退。
            请帮我退掉这个{t}。
            我不要{t}了，请退钱。
            取消订单以后多久退款？
            我多付了钱，请退给我。
            买{t}的钱怎么还没有退？
            {t}可以退吗？
            申请退货要多久？
            把买{t}的钱退回来。
            钱退到卡里了吗？
            我要申请退款。
            退货怎么退？
            """),
        "质量": words("""
            {t}坏了。
            {t}是坏的，打不开。
            {t}的质量太差了。
            {t}上有划痕。
            收到的{t}裂开了。
            {t}用了两天就坏了。
            {t}掉色很厉害。
            {t}有一个洞。
            {t}的味道很难闻。
            {t}少了零件。
            {t}做得太粗糙。
            {t}一用就断了。
            {t}和图片不一样，质量很差。
            新买的{t}不能用。
            {t}的开关坏了。
            {t}破了。
            {t}没用几次就裂了。
            这个{t}质量有问题。
            {t}失灵了。
            打开一看，{t}是破的。
            {t}裂了一个口子。
            {t}的颜色掉了。
            {t}打不开，是坏的。
            {t}做工太差。
            {t}断了。
            这个{t}有一股难闻的味道。
            {t}裂开了。
            {t}一打开就裂了。
            收到的{t}是坏的。
            {t}上破了一个洞。
            """),
        "其他": words("""
            你们几点开门？
            可以开发票吗？
            有优惠券吗？
            我忘记密码了。
            怎么成为会员？
            店在哪里？
            {t}有别的颜色吗？
            {t}有大号的吗？
            {t}打折吗？
            电话号码是多少？
            周末营业吗？
            怎么修改账号？
            {t}怎么用？
            还有{t}卖吗？
            会员有什么优惠？
            星期天开门吗？
            密码怎么修改？
            我的密码不对。
            密码忘了怎么办？
            发票怎么开？
            你们有{t}卖吗？
            {t}有没有蓝色的？
            你们还卖{t}吗？
            有没有小号的{t}？
            成为会员要钱吗？
            怎么办会员卡？
            你们的店几点关门？
            {t}有红色的吗？
            你们店的电话是多少？
            {t}有小号的吗？
            优惠券怎么用？
            买{t}可以开发票吗？
            """),
    },
    "en": {
        "shipping": words("""
            Where is my {t}?
            My {t} has not arrived.
            The {t} is late.
            When will my {t} arrive?
            Has the {t} been shipped?
            I am still waiting for the {t}.
            The parcel has not come yet.
            The courier did not come.
            The tracking does not change.
            How long does delivery take?
            The delivery is very slow.
            It says delivered, but there is no {t}.
            When do you send my {t}?
            Is the {t} on the way?
            Where is the package now?
            The package with my {t} is late.
            Please tell me when the {t} will be delivered.
            My order has not been shipped.
            The courier has lost my parcel.
            Delivery was due yesterday, where is the {t}?
            Where is my parcel?
            The {t} has not come yet.
            When will the courier come?
            The tracking of my {t} does not change.
            How long until my {t} arrives?
            My {t} is still not here.
            My parcel is late.
            The delivery of my {t} is late.
            The courier lost the {t}.
            Did the courier bring my {t}?
            """),
        "refund": words("""
            I want a refund.
            I want my money back.
            Can I return the {t}?
            Please cancel my order.
            Please refund the {t}.
            You charged me twice for the {t}.
            When do I get the money?
            I sent the {t} back, where is my refund?
            How can I return this {t}?
            I do not want the {t}, give me the money back.
            The refund is not on my card.
            I paid too much for the {t}.
            How long does a refund take?
            I would like to return my {t}.
            Cancel the {t}, please.
            I returned the {t} and got no money.
            Please give me my money back.
            I paid twice, please return the money.
            I would like my money for the {t}.
            Is the refund for the {t} on the card?
            Can you cancel my order of the {t}?
            I paid too much money for my {t}.
            I want to return the {t}.
            You charged me too much, I want the money back.
            When will I get my refund?
            Please cancel the {t} and return my money.
            I want to cancel the {t}.
            Can I get a refund for the {t}?
            Where is my money?
            You still have my money for the {t}.
            """),
        "quality": words("""
            The {t} is broken.
            My {t} stopped working.
            The {t} has a crack.
            There is a scratch on my {t}.
            The {t} does not work.
            The {t} is badly made.
            A part of the {t} is missing.
            My {t} has a hole.
            The {t} smells bad.
            The {t} fell apart.
            The {t} is damaged.
            The {t} does not turn on.
            The colour of my {t} came off.
            The new {t} is broken.
            My {t} broke after a day.
            The {t} has a bad smell.
            There is a hole in the {t}.
            The {t} came with a crack.
            My {t} is badly damaged.
            The {t} stopped after a day.
            The colour of the {t} is coming off.
            There is a crack in my {t}.
            My {t} does not turn on.
            The {t} came with a scratch.
            My {t} fell apart.
            A part of my {t} is broken.
            The {t} is cracked and broken.
            The {t} has a scratch.
            My new {t} does not work.
            The {t} was damaged.
            """),
        "other": words("""
            When do you open?
            Can I have an invoice?
            Do you have a coupon?
            I forgot my password.
            How do I become a member?
            Where is your shop?
            Is the {t} on sale?
            Do you have the {t} in red?
            What is your phone number?
            Are you open on Sunday?
            How can I change my password?
            Do you sell a {t}?
            Is there a bigger {t}?
            Do you have the {t} in blue?
            Are you open today?
            Do members get a coupon?
            Where can I get the invoice?
            Do you sell a bigger {t}?
            What is the number of the shop?
            Is your shop open on Monday?
            Can I become a member?
            How do I get a member card?
            Is there a smaller {t}?
            Do you have a bigger {t}?
            Where can I use my coupon?
            When is the shop open?
            What is the phone number of the shop?
            Which number can I call?
            How do I reset my password?
            I need a new password.
            I want to change my password.
            Do you have a {t} in white?
            """),
    },
}
"""language -> team -> messages, {t} is what was bought."""
