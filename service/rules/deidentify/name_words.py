"""The words that tell a person's name: common given names in all their cases, and the words that stand beside names.

A list is never whole. What it lacks is found by a patronymic, initials or a word such as "patient" beside it, or not.
"""

# ruff: noqa: RUF001 - the words are Ukrainian

from collections.abc import Iterator


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _either(patterns: str) -> str:
    """Give patterns that stand apart by blanks as one of alternatives."""
    return "|".join(patterns.split())


_UKRAINIAN = """
    Андрій Анатолій Аркадій Артем Богдан Борис Вадим Валентин Валерій Василь Віктор Віталій Владислав Володимир
    В'ячеслав Геннадій Георгій Григорій Гліб Данило Денис Дмитро Едуард Євген Захар Зіновій Іван Ігор Ілля Йосип
    Кирило Костянтин Леонід Лука Любомир Максим Марко Мар'ян Матвій Микита Микола Мирослав Михайло Назар Олег
    Олександр Олексій Омелян Орест Остап Павло Петро Платон Роман Ростислав Руслан Святослав Сергій Северин
    Семен Станіслав Степан Тарас Тимофій Федір Філіп Юліан Юрій Яків Ярослав Ян Аліна Алла Анастасія Анжела Анна
    Антоніна Богдана Валентина Валерія Варвара Василина Віра Вікторія Віталіна Галина Ганна Дарина Дарія Діана
    Єва Євгенія Єлизавета Жанна Зінаїда Зоряна Інна Іванна Ірина Катерина Кіра Клавдія Лариса Леся Лідія Лілія
    Людмила Маргарита Марина Марія Мар'яна Мілана Мирослава Надія Наталія Наталя Ніна Оксана Олена Олександра
    Ольга Поліна Раїса Роксолана Руслана Світлана Соломія Софія Стефанія Тамара Тетяна Уляна Христина Юлія Яна
    Ярина Ярослава
"""
_RUSSIAN = """
    Александр Алексей Анатолий Андрей Аркадий Артём Валерий Василий Виктор Виталий Владимир Вячеслав Геннадий
    Георгий Григорий Глеб Даниил Дмитрий Евгений Егор Иван Игорь Илья Иосиф Кирилл Константин Леонид Лев Матвей
    Михаил Никита Николай Олег Павел Пётр Петр Родион Сергей Тимофей Фёдор Филипп Юрий Яков Александра Алёна
    Анастасия Валентина Валерия Вера Виктория Дарья Диана Евгения Екатерина Елена Елизавета Зинаида Ирина Ксения
    Лидия Лилия Людмила Мария Надежда Наталия Наталья Оксана Ольга Полина Раиса Светлана София Татьяна Ульяна
    Юлия
"""
_ENGLISH = """
    adam alan albert alexander alexandra alice alison amanda amy andrea andrew angela anna anne anthony arthur
    barbara benjamin betty brian caroline carol catherine charles charlotte christine christopher claire daniel
    david deborah dennis diana donald dorothy edward elizabeth emily emma eric eleanor frank gary george grace
    hannah harold harry helen henry isabella jack jacob james jane janet jason jennifer jessica joan john
    jonathan joseph joshua judith julia karen kate katherine kathleen keith kenneth kevin laura lauren linda
    lisa louise lucy luke margaret mary matthew megan melissa michael michelle mohamed mohammed ahmed nancy
    nicholas nicole oliver olivia pamela patricia patrick paul peter philip rachel rebecca richard robert roger
    ronald rosemary ruth ryan samantha samuel sandra sarah scott sean sharon simon sophia sophie stephanie
    stephen steven stewart susan teresa thomas timothy tom victoria vincent walter william
"""
_FRENCH = """
    adrien alain amélie andré antoine arnaud aurélie bernard bertrand brigitte camille catherine cécile céline
    chantal christelle christophe claude clément corinne damien delphine denis didier dominique élise émilie
    éric étienne fabien florence florian françois françoise frédéric gérard guillaume hélène henri hugo isabelle
    jacqueline jacques jean jérôme jeanne joël julie julien laurence
    laurent léa léo luc lucie manon marc marcel marie martine mathieu maurice maxime michel mireille monique
    nathalie nicolas noémie odile olivier pascal patrice philippe pierre raymond rémi renée roland sébastien
    simone solange stéphane suzanne sylvie thérèse thierry valérie véronique virginie yves yvonne zoé
"""
_GERMAN = """
    andreas angelika anja anke astrid bernd birgit brigitte bruno carsten christa christian christiane christina
    claudia cornelia dagmar dieter dirk dorothea eberhard elfriede elisabeth elke erika erwin eva felix franz
    friedrich fritz gabriele georg gerd gerhard gertrud gisela günter günther hannelore hans heike heinrich
    heinz helga helmut herbert hermann hildegard holger horst inge ingrid jens joachim johann johannes jörg
    josef jürgen karin karl katharina katrin klaus konrad kurt lars lothar ludwig lukas lutz manfred marion
    markus martin martina matthias maximilian monika norbert olaf oskar otto petra rainer ralf reinhard renate
    rolf rudolf sabine siegfried sigrid silke stefan steffen susanne sven thorsten torsten ulrich ulrike ursula
    ute uwe volker waltraud werner wilhelm wolfgang
"""
_TRANSLITERATED = """
    agnieszka anastasiia andrii andriy andrzej artem bohdan borys daryna denys dmitry dmytro egor evgeny galyna
    halyna hanna ihor igor illia inna iryna irina ivan ivanna jerzy kateryna katarzyna khrystyna krzysztof
    larysa liudmyla lyudmyla maksym marcin maria mariia mariana marina maryna mikhail mykhailo mykola mykyta
    nadiia natalia nataliia natalya nazar nikolai oksana oleg oleh oleksandr oleksandra oleksii oleksiy olena
    olga olha ostap pavlo pavel petro piotr roman ruslan sergei sergey serhii serhiy sofia sofiia stanislav
    stepan svitlana svetlana taras tatiana tetiana tetyana tomasz ulyana vadym valentyna valerii vasyl viktor
    viktoriia vira vitalii vitaliy vladimir volodymyr vladyslav yana yaroslav yelyzaveta yevhen yevheniia yulia
    yuliia yurii yuriy zoriana jonas andrius mantas giedrė rasa eglė yosef moshe rivka noa
"""
"""Ukrainian and other eastern names as they are written in the West, and names of partner countries."""

# What follows the stem in each case, Ukrainian and Russian, by how the name ends.
_ENDINGS = (
    ("ій", ("ій", "ія", "ію", "ієві", "ієм", "ії")),
    ("ий", ("ий", "ия", "ию", "ием", "ии")),
    ("ей", ("ей", "ея", "ею", "еем", "ее", "еєм")),
    ("ай", ("ай", "ая", "аю", "аем", "ае")),
    ("ія", ("ія", "ії", "ію", "ією", "іє")),
    ("ья", ("ья", "ьи", "ью", "ьей", "ье")),
    ("ия", ("ия", "ии", "ию", "ией")),
    ("я", ("я", "і", "ї", "ю", "ею", "єю", "є", "и")),
    ("а", ("а", "и", "і", "у", "ою", "о", "ы", "е", "ой")),
    ("о", ("о", "а", "у", "ові", "ом", "і", "е")),
    ("ь", ("ь", "я", "ю", "еві", "ем", "і", "е")),
    ("", ("", "а", "у", "ові", "ом", "ем", "і", "е")),
)
# Whose stem changes when it is declined.
_CHANGED = """
    павла павлу павлові павлом павлови льва льву львові львом федора федору федорові федором якова якову яковом
    ольги ользі ольгу ольгою ольге
"""


def _declined() -> Iterator[str]:
    for name in f"{_UKRAINIAN} {_RUSSIAN}".casefold().split():
        ending, others = next((ending, others) for ending, others in _ENDINGS if name.endswith(ending))
        stem = name.removesuffix(ending)
        yield from (stem + other for other in others)


GIVEN_NAMES = frozenset([
    *_declined(), *_CHANGED.split(), *f"{_ENGLISH} {_FRENCH} {_GERMAN} {_TRANSLITERATED}".split(),
])  # fmt: skip
"""Given names in small letters, the Cyrillic ones in all cases."""

PERSONS = _either(
    """
    пацієнт(?:а|у|ом|ові|і|ка|ки|ці|ку|кою)? хвор(?:ий|ого|ому|им|а|ої|ій|у|ою)
    поранен(?:ий|ого|ому|им|а|ої|ій|у|ою) потерпіл(?:ий|ого|ому|им|а|ої|ій|у|ою)
    постраждал(?:ий|ого|ому|им|а|ої|ій|у|ою) боєць бійц(?:я|ю|ем|еві) дитин(?:а|и|і|у|ою) хлопчик(?:а|у|ом|ові)?
    дівчинк(?:а|и|у|ою) дівчинці чоловік(?:а|у|ом|ові)? жінк(?:а|и|у|ою) жінці військовослужбов(?:ець|ця|цю|цем)
    немовля(?:ти|ті)? новонароджен(?:ий|ого|ому|а|ої|ій|у) дружин(?:а|и|і|у|ою) мат(?:и|ері) батьк(?:о|а|у)
    син(?:а|у)? доньк(?:а|и|у) брат(?:а|у)? сестр(?:а|и|у|ою) пациент(?:а|у|ом|е|ка|ки|ке|ку|кой)?
    больн(?:ой|ого|ому|ым|ая|ую) ранен(?:ый|ого|ому|ая) пострадавш(?:ий|его|ему|ая|ей) реб[её]н(?:ок|ка|ку)
    мальчик(?:а|у)? девочк(?:а|и|е|у) мужчин(?:а|ы|е|у) женщин(?:а|ы|е|у) жена муж мать отец сын
    patient(?:e|in|ka)? pt soldier boy girl child wife husband mother father brother sister son daughter épouse
    mari enfant fille fils kind tochter sohn ehefrau ehemann mutter vater pacjent(?:ka)?
    """
)
"""Words for whom a text is about: a name may follow, or what the person has."""

TITLES = _either(
    r"""
    пан(?:а|у|ом|ові|і|ю)? громадян(?:ин|ина|ину|ка|ки|ку|ці) солдат(?:а|у|ом|ові)? сержант(?:а|у|ом|ові)?
    лейтенант(?:а|у|ом|ові)? капітан(?:а|у|ом|ові)? майор(?:а|у|ом|ові)? рядов(?:ий|ого|ому) прізвище п\.?і\.?б\.?
    ім'я ім’я звати звуть на\sпрізвище позивний гражданин гражданка господин госпожа рядовой капитан(?:а|у)?
    фамилия имя ф\.?и\.?о\.? зовут mr\.? mrs\.? ms\.? mister miss named surname sergeant sgt\.? private corporal
    captain lieutenant full\sname patient\sname monsieur madame mademoiselle mme mlle nommée? nom prénom herrn?
    frau familie namens nachname vorname pan[iu]?
    """
)
"""Words that only a name follows."""

NO_NAMES = frozenset(
    _words("""
        health safety controlled reported global blood group rights data information care education history position
        consent specific centered centred transfer monitoring outcome assessment questionnaire name summary status
        management and the with has had was is on in at no not male female male: age aged date id number file record
        скарги скарг об'єктивно обєктивно стан діагноз анамнез жалобы объективно состояние диагноз потребує потребуе
        просимо прошу україни украины польщі німеччини франції сша ссср срср рф дата вік возраст зріст вага адреса
        телефон адрес дитина хворий пацієнт пацієнтка без має після при
        збройних зсу національної медичної здорова здоров здоровий zustand befund anamnese diagnose therapie mit
        nach ohne raucher diabetiker
        """)
)
"""Words after "patient" that are none of its names."""

WHAT_PATIENTS_DO = frozenset(
    _words(
        """
        was is has had reports reported complains presented presents developed underwent remains est présente klagt
        wurde
        """
    )
)
"""Words that follow a name which follows "patient"."""

DEGREES = frozenset(
    _words("""
        dr prof med др проф
        """)
)
"""Words between a title and a name."""

NO_INITIALS = frozenset(
    _words("""
        us uk eu iv im sc po pr ps am pm dc nb ie eg тк ті пж
        """)
)
"""Two letters with full stops that are no initials."""

EPONYMS = _either(
    r"""
    синдром\w{0,3} хвороб\w{1,3} болезн\w{1,3} симптом\w{0,3} шкал\w{1,3} операці\w{1,2} операци\w{1,2}
    проб\w{1,2} тест\w{0,3} метод\w{0,3} апарат\w{0,3} класифікаці\w{1,2} классификаци\w{1,2} за по ім\.? імені
    им\.? имени святого святої св\.? лікарн\w{1,2} інститут\w{0,2} університет\w{0,2} клінік\w{1,2} центр\w{0,2}
    госпітал\w{1,2} больниц\w{1,2} институт\w{0,2} клиник\w{1,2} реакці\w{1,2} формул\w{1,2} перелом\w{0,2}
    фонд\w{0,2} вулиц\w{1,2} вул\.? ул\.? пахв\w{1,3} ураження маса st\.? saint sainte sankt klinikum hôpital
    hospital université university institut\w{0,2} fondation stiftung nach selon according loi method syndrome
    maladie morbus
    """
)
"""Words before what looks like a name and is that of a disease, a method or a house."""

AFTER_EPONYMS = frozenset(
    _words("""
        retractor retractors clamp tube catheter cannula graft stent valve prosthesis approach technique method flap
        incision position needle suture plate nail screw cast brace bandages pump drain forceps repair reconstruction
        index formula equation protocol regimen trial study stain medium agar lymphoma sarcoma tumour tumor anaemia
        anemia palsy contracture deformity maladie échelle signe opération zeichen klassifikation operation
        naht prothese
        апарат протез клапан катетер шкала тест проба операція операция метод стент шов симптом
        syndrome syndrom disease virus test sign score scale classification criteria procedure operation maneuver
        manoeuvre bandage stage staging hospital hospitals clinic clinics university institute institut college centre
        center foundation frame splint fracture ligament reflex law arbor bock storz hopkins hôpital klinikum klinik
        stiftung universität krankenhaus синдром хвороба болезнь госпіталь лікарня клініка клиника університет
        інститут центр
        """)
)
"""The same after it."""

_CASES = {
    "": ("", "а", "у", "ом", "ові"),
    "о": ("о", "а", "у", "ом", "ові", "ою"),
    "ий": ("ий", "ого", "ому", "им", "а", "ої", "ій", "у", "ою", "ой", "ая", "ую", "ым"),
    "ов": ("", "а", "у", "им", "ым", "ой", "ою", "ій", "ої"),
    "ович": ("", "а", "у", "ем", "еві", "ові", "ом", "і", "е"),
    "івна": ("а", "и", "і", "у", "ою", "о", "ы", "е", "ой"),
}


def _endings(stems: str, cases: str) -> tuple[str, ...]:
    return tuple(stem + ending for stem in stems.split() for ending in _CASES[cases])


MALE_PATRONYMICS = (*_endings("ович евич євич", "ович"), "ілліч", "ильич", "кузьмич", "лукич", "фомич")
FEMALE_PATRONYMICS = _endings("івн ївн овн евн єлівн ильиничн никитичн кузьминичн", "івна")
NO_PATRONYMICS = _words(
    """
    основн головн умовн условн духовн повн неповн мовн кровн верховн безкровн бескровн церковн словн рівн нерівн
    чарівн плачевн душевн ключевн гнівн керівн наївн ґрунтовн грунтовн змістовн готовн безумовн певн непевн
    царівн королівн наявн шановн вишукан королевич
    """
)
"""How words begin that end as patronymics do."""
LIKE_ADJECTIVES = _endings("овн евн", "івна")
"""How patronymics end that adjectives end like: they count beside a given name."""
SURELY_SURNAMES = (*_endings("енк", "о"), "enko")
NO_SURNAMES = _words("стенк оценк переоценк недооценк пенк сценк коленк")
"""How Russian words begin that end as surnames do."""
OFTEN_SURNAMES = (
    *_endings("чук щук юк ук як ак ик ін ин ишин", ""),
    *_endings("ськ цьк ск цк", "ий"),
    *_endings("ов ев єв ін ин", "ов"),
    *_words("ець ця цю цем ко ка шин chuk yuk iuk sky ski skyi skiy ska ov ova ev eva shvili wicz vych vich"),
)
DRUGS = (
    *_endings("цилін цилин міцин мицин циклін циклин парин сулін сулин морфін морфин амін амин мідин динін кілін", ""),
    *_endings("сацин ксацин базин тазин зидин тидин трицин", ""),
    *_words("mycin cillin azole pril olol statin parin mab nib azepam"),
)
"""How names of drugs end that surnames end like."""
HOUSES = _words(
    """
    лікарн клінік клиник област район госпітал госпитал інститут институт центр громад відділен отделен больниц
    міськ город црл університет
    """
)
"""How words begin that follow the adjective of a town."""
