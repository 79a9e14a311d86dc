"""The words and facts that the generators draw from, written down by hand."""

from __future__ import annotations

from .turns import table, words

# Chinese | English | plural | kind
NOUNS = table("""
    猫|cat|cats|animal
    狗|dog|dogs|animal
    鸟|bird|birds|animal
    鱼|fish|fish|animal
    马|horse|horses|animal
    牛|cow|cows|animal
    羊|sheep|sheep|animal
    猪|pig|pigs|animal
    鸡|chicken|chickens|animal
    鸭子|duck|ducks|animal
    兔子|rabbit|rabbits|animal
    老虎|tiger|tigers|animal
    狮子|lion|lions|animal
    熊|bear|bears|animal
    猴子|monkey|monkeys|animal
    大象|elephant|elephants|animal
    老鼠|mouse|mice|animal
    蛇|snake|snakes|animal
    青蛙|frog|frogs|animal
    蜜蜂|bee|bees|animal
    狐狸|fox|foxes|animal
    狼|wolf|wolves|animal
    苹果|apple|apples|fruit
    香蕉|banana|bananas|fruit
    葡萄|grape|grapes|fruit
    梨|pear|pears|fruit
    草莓|strawberry|strawberries|fruit
    柠檬|lemon|lemons|fruit
    土豆|potato|potatoes|vegetable
    西红柿|tomato|tomatoes|vegetable
    胡萝卜|carrot|carrots|vegetable
    米饭|rice||food
    面包|bread||food
    鸡蛋|egg|eggs|food
    蛋糕|cake|cakes|food
    水|water||drink
    茶|tea|teas|drink
    咖啡|coffee|coffees|drink
    牛奶|milk||drink
    桌子|table|tables|furniture
    椅子|chair|chairs|furniture
    床|bed|beds|furniture
    锤子|hammer|hammers|tool
    钉子|nail|nails|tool
    剪刀|scissors|scissors|tool
    刀|knife|knives|tool
    衬衫|shirt|shirts|clothes
    帽子|hat|hats|clothes
    鞋子|shoe|shoes|clothes
    汽车|car|cars|vehicle
    公共汽车|bus|buses|vehicle
    火车|train|trains|vehicle
    飞机|plane|planes|vehicle
    船|ship|ships|vehicle
    自行车|bicycle|bicycles|vehicle
    头|head|heads|body
    手|hand|hands|body
    脚|foot|feet|body
    眼睛|eye|eyes|body
    耳朵|ear|ears|body
    牙齿|tooth|teeth|body
    老师|teacher|teachers|person
    学生|student|students|person
    医生|doctor|doctors|person
    农民|farmer|farmers|person
    司机|driver|drivers|person
    孩子|child|children|person
    男人|man|men|person
    女人|woman|women|person
    朋友|friend|friends|person
    书|book|books|
    笔|pen|pens|
    门|door|doors|
    窗户|window|windows|
    房子|house|houses|
    城市|city|cities|
    学校|school|schools|
    公园|park|parks|
    河|river|rivers|
    山|mountain|mountains|
    海|sea|seas|
    树|tree|trees|
    花|flower|flowers|
    太阳|sun||
    月亮|moon|moons|
    星星|star|stars|
    雨|rain||
    雪|snow||
    风|wind||
    火|fire|fires|
    石头|stone|stones|
    杯子|cup|cups|
    盒子|box|boxes|
    钥匙|key|keys|
    电脑|computer|computers|
    手机|phone|phones|
    灯|lamp|lamps|
    包裹|parcel|parcels|
    钱|money||
    音乐|music||
    歌|song|songs|
    游戏|game|games|
""")
KINDS = {
    "animal": "动物",
    "fruit": "水果",
    "vegetable": "蔬菜",
    "food": "食物",
    "drink": "饮料",
    "furniture": "家具",
    "tool": "工具",
    "clothes": "衣服",
    "vehicle": "交通工具",
    "body": "身体部位",
    "person": "人",
}

# Chinese | English | Chinese opposite | English opposite
OPPOSITES = table("""
    大|big|小|small
    高|tall|矮|short
    长|long|短|short
    快|fast|慢|slow
    热|hot|冷|cold
    新|new|旧|old
    好|good|坏|bad
    多|many|少|few
    上|up|下|down
    左|left|右|right
    里|inside|外|outside
    开|open|关|closed
    黑|black|白|white
    强|strong|弱|weak
    轻|light|重|heavy
    胖|fat|瘦|thin
    远|far|近|near
    早|early|晚|late
    干净|clean|脏|dirty
    高兴|happy|难过|sad
    简单|easy|困难|difficult
    便宜|cheap|贵|expensive
    安静|quiet|吵闹|noisy
    年轻|young|年老|old
    美丽|beautiful|丑陋|ugly
    勇敢|brave|胆小|timid
    富有|rich|贫穷|poor
    满|full|空|empty
    硬|hard|软|soft
    干|dry|湿|wet
    深|deep|浅|shallow
    厚|thick|薄|thin
    白天|day|黑夜|night
    开始|start|结束|end
    买|buy|卖|sell
    进|enter|出|leave
    真|true|假|false
    成功|success|失败|failure
    喜欢|love|讨厌|hate
    记得|remember|忘记|forget
""")

# Chinese country | capital | English country | capital
CAPITALS = table("""
    中国|北京|China|Beijing
    日本|东京|Japan|Tokyo
    韩国|首尔|South Korea|Seoul
    法国|巴黎|France|Paris
    英国|伦敦|the United Kingdom|London
    德国|柏林|Germany|Berlin
    意大利|罗马|Italy|Rome
    西班牙|马德里|Spain|Madrid
    俄罗斯|莫斯科|Russia|Moscow
    美国|华盛顿|the United States|Washington
    加拿大|渥太华|Canada|Ottawa
    巴西|巴西利亚|Brazil|Brasilia
    埃及|开罗|Egypt|Cairo
    印度|新德里|India|New Delhi
    泰国|曼谷|Thailand|Bangkok
    越南|河内|Vietnam|Hanoi
    澳大利亚|堪培拉|Australia|Canberra
    希腊|雅典|Greece|Athens
    荷兰|阿姆斯特丹|the Netherlands|Amsterdam
    奥地利|维也纳|Austria|Vienna
    波兰|华沙|Poland|Warsaw
    瑞典|斯德哥尔摩|Sweden|Stockholm
    丹麦|哥本哈根|Denmark|Copenhagen
    土耳其|安卡拉|Turkey|Ankara
""")

# Chinese thing | its colour | English thing | its colour
COLOURS = table("""
    天空|蓝色|the sky|blue
    草|绿色|grass|green
    雪|白色|snow|white
    血|红色|blood|red
    煤|黑色|coal|black
    香蕉|黄色|a banana|yellow
    橙子|橙色|an orange|orange
    葡萄|紫色|a grape|purple
    牛奶|白色|milk|white
    树叶|绿色|a leaf|green
    太阳|黄色|the sun|yellow
    大海|蓝色|the sea|blue
    乌鸦|黑色|a crow|black
    草莓|红色|a strawberry|red
    柠檬|黄色|a lemon|yellow
    西红柿|红色|a tomato|red
    巧克力|棕色|chocolate|brown
    大象|灰色|an elephant|grey
""")
# Chinese animal | legs | sound | English animal | sound
ANIMALS = table("""
    猫|4|喵喵|cat|meow
    狗|4|汪汪|dog|woof
    牛|4|哞哞|cow|moo
    羊|4|咩咩|sheep|baa
    鸡|2|咯咯|chicken|cluck
    鸭子|2|嘎嘎|duck|quack
    青蛙|4|呱呱|frog|croak
    马|4|咴咴|horse|neigh
    蜜蜂|6|嗡嗡|bee|buzz
    鸟|2|叽叽|bird|tweet
    老鼠|4|吱吱|mouse|squeak
    猪|4|哼哼|pig|oink
""")
VERBS = table("""
    吃|eat
    喝|drink
    跑|run
    看|look
    读|read
    写|write
    睡觉|sleep
    唱歌|sing
    游泳|swim
    飞|fly
    工作|work
    玩|play
    帮助|help
    问|ask
    回答|answer
    给|give
    红色|red
    蓝色|blue
    绿色|green
    黄色|yellow
    谢谢|thank you
    你好|hello
    再见|goodbye
    今天|today
    明天|tomorrow
    昨天|yesterday
    早上|morning
    晚上|evening
    春天|spring
    夏天|summer
    秋天|autumn
    冬天|winter
""")

DAYS = {
    "zh": words("星期一 星期二 星期三 星期四 星期五 星期六 星期日"),
    "en": words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
}
MONTHS = {
    "zh": words("一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月"),
    "en": words("January February March April May June July August September October November December"),
}
SEASONS = {"zh": words("春天 夏天 秋天 冬天"), "en": words("spring summer autumn winter")}
DIGITS = {
    "zh": words("零 一 二 三 四 五 六 七 八 九 十"),
    "en": words("zero one two three four five six seven eight nine ten"),
}
ZH_NAMES = words("小明 小红 小刚 小丽 小华 小芳 小强 小美 小军 小燕 阿杰 阿珍 大伟 丽丽 东东 圆圆 老王 老李 老张 小陈")
EN_NAMES = words("Tom Amy Bob Lucy Jack Emma Sam Mary Ben Anna Leo Kate Max Jane Paul Rose Nick Ella Mark Lily")
