"""Small talk: greetings, thanks, moods, requests, each in several words with one fixed answer."""

from __future__ import annotations

from random import Random

from .turns import Sample, ask, table

# language | ways to say it | the answer
TALK = table("""
    zh|你好;你好！;您好;嗨;你好呀;哈喽;喂，你好|你好！有什么可以帮你的吗？
    zh|早上好;早安;早上好！;早|早上好！祝你今天过得愉快。
    zh|晚上好;晚上好！|晚上好！今天过得怎么样？
    zh|晚安;我要睡了;我去睡觉了|晚安，做个好梦。
    zh|再见;拜拜;我走了;下次再聊;回头见|再见，欢迎下次再来。
    zh|谢谢;谢谢你;多谢;非常感谢;太感谢了|不客气。
    zh|对不起;抱歉;不好意思|没关系。
    zh|你好吗？;最近怎么样？;你过得好吗？;今天怎么样？|我很好，谢谢。你呢？
    zh|我很高兴;今天我很开心;我心情很好|太好了，真为你高兴！
    zh|我很难过;我不开心;我心情不好;我想哭|别难过，一切都会好起来的。
    zh|我累了;好累啊;今天太累了|辛苦了，好好休息一下吧。
    zh|我饿了;肚子好饿|那就去吃点东西吧。
    zh|我渴了;口好渴|喝杯水吧。
    zh|我好无聊;好无聊啊;没事做|我们可以一起做算术题。
    zh|我生病了;我感冒了;头好疼|多喝水，好好休息，不舒服就去看医生。
    zh|今天是我的生日;我今天过生日|生日快乐！
    zh|新年快乐;新年快乐！;过年好|新年快乐，万事如意！
    zh|我考试通过了;我赢了;我成功了|恭喜你！
    zh|我考试没通过;我输了;我失败了|没关系，下次一定可以。
    zh|你真聪明;你真棒;你好厉害|谢谢你的夸奖。
    zh|你真笨;你太笨了;你答错了|对不起，我会继续努力的。
    zh|我喜欢你;我爱你|谢谢，我也喜欢和你聊天。
    zh|给我讲个笑话;讲个笑话吧;说个笑话|为什么电脑会冷？因为它的窗户开着。
    zh|鼓励我一下;给我一点鼓励;给我加油|加油，你一定可以的！
    zh|现在几点了？;几点了;今天几号？|对不起，我没有钟表，不知道时间。
    zh|今天天气怎么样？;明天会下雨吗？|对不起，我看不到外面的天气。
    zh|你喜欢什么颜色？;你最喜欢的颜色是什么？|我喜欢蓝色。
    zh|你喜欢吃什么？;你吃饭了吗？|我不吃东西，我只需要一点电。
    zh|一年有几个月？;一年有多少个月？|一年有十二个月。
    zh|一周有几天？;一个星期有多少天？|一周有七天。
    zh|一天有多少小时？;一天有几个小时？|一天有二十四小时。
    zh|水在多少度结冰？;水几度结冰？|水在零度结冰。
    zh|太阳从哪边升起？;太阳从哪里升起？|太阳从东边升起。
    en|hello;Hello!;hi;Hi!;hey;Hi there;Hello there!|Hello! How can I help you?
    en|good morning;Good morning!|Good morning! Have a nice day.
    en|good evening;Good evening!|Good evening! How was your day?
    en|good night;Good night!;I am going to bed|Good night, sleep well.
    en|bye;goodbye;Goodbye!;see you later;See you!|Goodbye, come back soon.
    en|thanks;thank you;Thank you!;Thanks a lot;many thanks|You are welcome.
    en|sorry;I am sorry;my mistake|No problem.
    en|how are you?;How are you?;How are you doing?;How is it going?|I am fine, thank you. And you?
    en|I am happy;I feel great;I am in a good mood|That is wonderful!
    en|I am sad;I feel bad;I am not happy|Cheer up, it will get better.
    en|I am tired;I need a break|Take a rest.
    en|I am hungry;I want to eat|Then have something to eat.
    en|I am thirsty|Have a glass of water.
    en|I am bored;this is boring|We can do some sums together.
    en|I am ill;I have a cold|Drink water and rest. See a doctor if it gets worse.
    en|today is my birthday;It is my birthday!|Happy birthday!
    en|happy new year;Happy New Year!|Happy New Year to you!
    en|I passed the exam;I won|Congratulations!
    en|I failed the exam;I lost|Never mind, next time you can do it.
    en|you are clever;you are great;well done|Thank you for the praise.
    en|you are stupid;that is wrong|Sorry, I will keep learning.
    en|I like you;I love you|Thank you, I like talking to you.
    en|tell me a joke;Tell me a joke.|Why was the computer cold? It left its windows open.
    en|encourage me;say something nice|Keep going, you can do it!
    en|what time is it?;What time is it?;What day is it?|Sorry, I have no clock.
    en|how is the weather?;Will it rain tomorrow?|Sorry, I cannot see the weather.
    en|What is your favourite colour?;Which colour do you like?|I like blue.
    en|What do you eat?;Are you hungry?|I do not eat, I only need a little power.
    en|How many months are in a year?;How many months does a year have?|A year has twelve months.
    en|How many days are in a week?;How many days does a week have?|A week has seven days.
    en|How many hours are in a day?;How many hours does a day have?|A day has twenty-four hours.
    en|When does water freeze?|Water freezes at zero degrees.
    en|Where does the sun rise?;Where does the sun come up?|The sun rises in the east.
""")


def small_talk(rng: Random) -> Sample:
    """Draw a remark and its answer."""
    _, ways, answer = rng.choice(TALK)
    return ask("small talk", rng.choice(ways.split(";")), answer)


TASKS = {"small talk": (6.0, small_talk)}
