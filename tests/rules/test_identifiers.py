"""Every kind of identifier in every way that it is written, and clinical text that looks like one (SEC-04)."""

# ruff: noqa: RUF001 - the texts are Ukrainian
from datetime import date

import pytest

from service import vocabulary
from service.rules import deidentify

TODAY = date(2026, 11, 22)
LONGEST = 10_000


def found(text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.kind) for span in deidentify.find(text, TODAY)]


@pytest.mark.parametrize(
    "number",
    [
        "067-12-34-567", "0 67 123 45 67", "067 1234567", "06 712 34 567", "067 12 34567", "0671 234567",
        "0-67-123-45-67", "067/123/45/67", "067_123_45_67", "(067)1234567", "067 - 123 - 45 - 67",
        "0 6 7 1 2 3 4 5 6 7",
        "+38(050)98 76 543", "380 671 234 567", "00380 67 123 4567", "0038 067 123 45 67", "80671234567",
        "+ 380 67 123 45 67",
        "067.1234.567", "06-71-23-45-67", "+380(67)1234567", "+3 8 0 6 7 1 2 3 4 5 6 7", "0800 500 335",
        "+33 6 12 34 56 78", "06 12 34 56 78", "01 42 34 56 78", "06.12.34.56.78", "0033 6 12 34 56 78",
        "+49 (0)171 392 00 18",
        "+49 30/901820", "0171 3920018", "0171/3920018", "+370 612 34 567", "+37061234567", "+48 501 234 567",
        "+48-501-234-567", "+1 (204) 555-0123", "+1.204.555.0123", "204-555-0123", "(204) 555-0123", "+972 54-777-1203",
        "+998 90 123 45 67", "+44 (0)113 496 0123", "07700 900123", "+995 555 12 34 56", "067;123;45;67",
        "067:123:45:67", "067|123|45|67", "067 123\n45 67", "+33.6.12.34.56.78",
        "0 6 7 - 1 2 3 - 4 5 - 6 7", "1-204-555-0123",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "Дзвонити {}, після 18:00.", "call {} tonight"])
def test_sec_04_a_telephone_number_is_found_however_it_is_grouped(number: str, around: str) -> None:
    assert found(around.format(number)) == [(number, "phone")]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("тел. 12-34-56", "12-34-56"), ("моб: 501 234 567", "501 234 567"), ("phone: 555 0123 4", "555 0123 4"),
        ("Telefon 8 612 34567", "8 612 34567"), ("Handy 171 39200", "171 39200"), ("tél. : 44 12 34 56", "44 12 34 56"),
        ("вайбер 97 44 12 907", "97 44 12 907"), ("WhatsApp 54-777-1203", "54-777-1203"),
    ],
)  # fmt: skip
def test_sec_04_a_local_number_is_known_by_the_word_before_it(text: str, number: str) -> None:
    assert found(text) == [(number, "phone")]


@pytest.mark.parametrize(
    "sign",
    ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u202a", "\u0336", "\u3164", "\ufe0f"],
)
def test_sec_04_what_nobody_sees_inside_a_number_hides_nothing_and_the_place_is_that_of_the_text_as_typed(
    sign: str,
) -> None:
    written = sign.join("0671234567")
    assert found(f"{sign}тел {written}, {sign}далі") == [(written, "phone")]
    name = f"Пацієнт Іва{sign}ненко Пет{sign}ро"
    assert found(name) == [(name.removeprefix("Пацієнт "), "name")]


@pytest.mark.parametrize("space", ["\u00a0", "\u2009", "\u202f", "\u2003", "\u3000", "\t", "\u2007"])
@pytest.mark.parametrize("dash", ["\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\uff0d", "\u2043"])
def test_sec_04_every_space_and_every_dash_parts_a_number(space: str, dash: str) -> None:
    number = f"067{space}123{dash}45{space}67"
    assert found(f"кажу {number}") == [(number, "phone")]


@pytest.mark.parametrize(
    "digits",
    ["０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗", "⁰¹²³⁴⁵⁶⁷⁸⁹", "⓪①②③④⑤⑥⑦⑧⑨"],
)
def test_sec_04_a_digit_of_any_script_is_one(digits: str) -> None:
    number, day = (text.translate(str.maketrans("0123456789", digits)) for text in ("0671234567", "12.03.1984"))
    assert found(f"кажу {number}, {day}") == [(number, "phone"), (day, "birth_date")]
    assert found("＋３８０６７１２３４５６７") == [("＋３８０６７１２３４５６７", "phone")]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("документи ав 123456", "ав 123456"), ("документи АВ123456", "АВ123456"), ("серія ав № 123456", "ав № 123456"),
        ("FH 274913", "FH 274913"), ("Ав123456", "Ав123456"), ("паспорт серії АВ номер 123456", "АВ номер 123456"),
        ("паспорт 001234567", "001234567"), ("Passport no. 12345678", "12345678"),
        ("ID-картка № 003948271", "003948271"), ("id card: 003948271", "003948271"),
        ("Reisepass C01X06T47", "C01X06T47"),
        ("паспорт громадянина України серії МТ № 308 117", "МТ № 308 117"), ("passeport 12AB34567", "12AB34567"),
        ("посвідчення УБД 482915", "УБД 482915"), ("закордонний паспорт FH274913", "FH274913"),
        ("запис 19840312-01234", "19840312-01234"),
    ],
)  # fmt: skip
def test_sec_04_a_passport_is_found(text: str, number: str) -> None:
    assert found(text) == [(number, "passport")]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("ІПН хворого 31847 10691", "31847 10691"),
        ("ІПН: 3184710692", "3184710692"),
        ("ИНН 31 84 71 06 92", "31 84 71 06 92"),
    ],
)
def test_sec_04_a_tax_number_is_known_by_its_word_too(text: str, number: str) -> None:
    assert found(text) == [(number, "tax_number")]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("12 марта 1985 г.р.", "12 марта 1985"), ("née le 12 août 1985", "12 août 1985"),
        ("geb. 12. März 1985", "12. März 1985"),
        ("12 березня 1985 року народження", "12 березня 1985"), ("DOB 12/03/85", "12/03/85"),
        ("DOB: 1985-03-12", "1985-03-12"),
        ("12.03 1985 г.р.", "12.03 1985"), ("12.03 1985 р.н.", "12.03 1985"), ("12 03 1985 р.н.", "12 03 1985"),
        ("жінка, 12 août 1985", "12 août 1985"), ("Mann, 12. März 1985", "12. März 1985"),
        ("12 марта 85 г.р.", "12 марта 85"), ("Born: 12 Mar 85", "12 Mar 85"), ("DOB 19850312", "19850312"),
        ("12.III.1985", "12.III.1985"),
        ("мужчина 12 марта 1985", "12 марта 1985"), ("born 1985, March 12", "1985, March 12"),
        ("12-Mar-1985", "12-Mar-1985"),
        ("12 mars 1985", "12 mars 1985"), ("1er mai 1985", "1er mai 1985"), ("12 Dezember 1985", "12 Dezember 1985"),
        ("12. 3. 1985", "12. 3. 1985"), ("12 / 03 / 1985", "12 / 03 / 1985"), ("12 . 03 . 1985", "12 . 03 . 1985"),
        ("12 marca 1985", "12 marca 1985"),
        ("народився 1985 року, 12 березня", "1985 року, 12 березня"),
        ("народилася у березні 1985", "березні 1985"), ("03.1985 р.н.", "03.1985"),
        ("Дата рождения 12.03.2026", "12.03.2026"),
        ("д.р. 12.03.26", "12.03.26"), ("Geburtsdatum: 12.03.2026", "12.03.2026"), ("né en mars 1985", "mars 1985"),
    ],
)  # fmt: skip
def test_sec_04_a_birth_date_is_found_in_every_language(text: str, day: str) -> None:
    assert found(text) == [(day, "birth_date")]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("12.03.1984 р.н., операція 25.10.2026", "12.03.1984"), ("операція 25.10.2024, 12.03.1984 р.н.", "12.03.1984"),
        ("Хворий, 12.03.1984, операція 25.10.2024", "12.03.1984"), ("Чоловік 12.03.1984, КТ 25.10.2024", "12.03.1984"),
        ("operated 25.10.2024, born 12.03.1984", "12.03.1984"), ("після операції пацієнт 12.03.1984", "12.03.1984"),
        ("народилася 12.03.2026 в терміні 38 тижнів, огляд 14.03.2024", "12.03.2026"),
    ],
)  # fmt: skip
def test_sec_04_a_birth_date_stays_one_beside_the_date_of_an_operation(text: str, day: str) -> None:
    assert found(text) == [(day, "birth_date")]


@pytest.mark.parametrize(
    "text",
    [
        "Операція 12.03.2021", "травма від 12.03.2021", "КТ 12.03.2021: норма", "МРТ (12.03.2021) без змін",
        "УЗД — 12.03.2021",
        "12.03.2021 виконано КТ", "12.03.2021: операція", "12.03.2021 — ампутація", "echo 12/03/2021",
        "Echo on 12 March 2021",
        "surgery on 2021-03-12", "On 12.03.2021 underwent surgery", "opéré le 12 mars 2021",
        "Operation am 12. März 2021",
        "операция 12 марта 2021", "КТ 12.03.2021, 15.06.2021 та 20.09.2021", "лікування з 12.03.2021 по 20.03.2021",
        "ЕхоКГ від 12.03.2021 р.", "12.03.2021 КТ, 14.05.2021 МРТ", "12.03.2021 Hb 90", "лейкоцити 12.03.2021 — 14",
        "COVID-19 12.03.2021",
        "ПЛР 12.03.2021 негативна", "12.03.2021 р. прооперований", "12.03.2021 — травма, 14.03.2021 — операція",
        "1985 р.н.", "1985 г.р.",
        "Народилась недоношеною, 34 тиж., 1985 рік", "12.03.2021 г. Резекция", "огляд 12.03.2026 р. н/к теплі",
    ],
)  # fmt: skip
def test_sec_04_a_date_beside_an_operation_or_a_scan_is_no_birthday(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Пацієнт Іваненко Петро Миколайович", "Іваненко Петро Миколайович"),
        ("пацієнта Іваненка Петра", "Іваненка Петра"),
        ("хворій Коваленко О.М.", "Коваленко О.М."), ("оглянули: Ковальчук О. М.", "Ковальчук О. М."),
        ("О. М. Ковальчук", "О. М. Ковальчук"),
        ("О.М.Ковальчук", "О.М.Ковальчук"), ("КОВАЛЬЧУК О.М.", "КОВАЛЬЧУК О.М."), ("Patient John Smith", "John Smith"),
        ("Mr Smith", "Smith"), ("Mr. Smith", "Smith"), ("Patientin Anna Müller", "Anna Müller"),
        ("le patient Jean Dupont", "Jean Dupont"),
        ("Пациент Иванов Иван Иванович", "Иванов Иван Иванович"), ("пацієнту Іваненку", "Іваненку"),
        ("хвора Савицька", "Савицька"),
        ("з Петром Миколайовичем", "Петром Миколайовичем"), ("Оксані Петрівні гірше", "Оксані Петрівні"),
        ("Ольгой Евгеньевной", "Ольгой Евгеньевной"), ("Иванову Сергею Евгеньевичу", "Иванову Сергею Евгеньевичу"),
        ("петро миколайович скаржиться", "петро миколайович"),
        ("ІВАНЕНКО ПЕТРО МИКОЛАЙОВИЧ", "ІВАНЕНКО ПЕТРО МИКОЛАЙОВИЧ"),
        ("ПІБ: Гладкий Нестор", "Гладкий Нестор"), ("прізвище Гудзь", "Гудзь"), ("Herr Dr. Brandt", "Brandt"),
        ("Frau Schulze", "Schulze"),
        ("Mme Moreau", "Moreau"), ("Monsieur Lefèvre", "Lefèvre"), ("солдат Мельник", "Мельник"),
        ("рядовому Гудзю", "Гудзю"),
        ("просять за бійця: Гриценко", "Гриценко"), ("Бондаренко направлений", "Бондаренко"),
        ("П. Іваненко", "П. Іваненко"),
        ("Smith, J. B. Smith", "J. B. Smith"), ("patient Olena Kovalenko", "Olena Kovalenko"),
        ("Олені Мельник стало гірше", "Олені Мельник"),
        ("пацієнт Гладкий Нестор", "Гладкий Нестор"), ("Лукич скаржиться", "Лукич"),
        ("Петро Миколайович Гудзь", "Петро Миколайович Гудзь"), ("Петрівні краще", "Петрівні"),
        ("хвора Ганна", "Ганна"),
        ("пані Галина", "Галина"), ("хвора Коваль О.", "Коваль О."), ("Smith, John", "Smith, John"),
        ("Name: Smith", "Smith"), ("Имя: Мария", "Мария"), ("PATIENT JOHN SMITH", "JOHN SMITH"),
        ("Anna-Maria Schmidt", "Anna-Maria Schmidt"), ("Jean-Pierre Dupont", "Jean-Pierre Dupont"),
        ("the patient Smith was seen", "Smith"), ("Patient Schmidt, Hans", "Schmidt, Hans"),
        ("Коваль Ірина, 44 роки", "Коваль Ірина"), ("Miss O'Brien", "O'Brien"),
        ("дружина Соломія Вовк", "Соломія Вовк"),
        ("пацієнт П. Гудзь", "П. Гудзь"), ("пацієнтка Дем'янчук", "Дем'янчук"), ("звати Марія-Анна", "Марія-Анна"),
    ],
)  # fmt: skip
def test_sec_04_a_name_is_found_by_its_marker_in_every_case(text: str, name: str) -> None:
    assert found(text) == [(name, "name")]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("вул. Шевченка 5, кв. 12", "вул. Шевченка 5, кв. 12"), ("ул. Ленина, д. 5", "ул. Ленина, д. 5"),
        ("м. Харків, пров. Тихий, 4", "пров. Тихий, 4"), ("12 rue Victor Hugo", "12 rue Victor Hugo"),
        ("Hauptstraße 5", "Hauptstraße 5"),
        ("5 Baker Street", "5 Baker Street"), ("48 Green Lane, Flat 2", "48 Green Lane, Flat 2"),
        ("Хрещатик, буд. 22, кв. 5", "буд. 22, кв. 5"),
        ("просп. Лушпи, 28, кв. 141", "просп. Лушпи, 28, кв. 141"), ("вул. 8 Березня, 3", "вул. 8 Березня, 3"),
        ("Сумська вулиця, 5", "Сумська вулиця, 5"),
        ("3 bis avenue de la République", "3 bis avenue de la République"), ("Lange Gasse 12 a", "Lange Gasse 12 a"),
        ("rue Lepic", "rue Lepic"),
        ("Birkenweg 5", "Birkenweg 5"), ("Karl-Marx-Straße 12", "Karl-Marx-Straße 12"),
        ("Am Markt 5, 10115 Berlin", "Markt 5, 10115 Berlin"),
        ("пр. Науки, 12", "пр. Науки, 12"), ("ul. Długa 5/3", "ul. Długa 5/3"),
        ("Vilniaus g. 12-4", "Vilniaus g. 12-4"),
        ("пер. Тихий, 4", "пер. Тихий, 4"),
        ("вулиця Героїв Крут 14а", "вулиця Героїв Крут 14а"), ("на вулиці Сумській", "вулиці Сумській"),
        ("адреса: Суми, Лушпи 28", "адреса: Суми, Лушпи 28"),
    ],
)  # fmt: skip
def test_sec_04_an_address_is_found(text: str, address: str) -> None:
    assert found(text) == [(address, "address")]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Історія хвороби № 12345/26", "12345/26"), ("карта № 8841", "8841"), ("медкарта 123456", "123456"),
        ("MRN 123456", "123456"),
        ("Krankenakte Nr. 77120/B", "77120/B"), ("dossier n° 55-210", "55-210"), ("история болезни №4512", "4512"),
        ("і/х № 771", "771"),
        ("медична карта стаціонарного хворого № 8841", "8841"), ("ЕСОЗ 7K3M-90PA-24XT-8C1E", "7K3M-90PA-24XT-8C1E"),
        ("0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11", "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"),
        ("NHS number: 943 476 5919", "943 476 5919"),
        ("1 85 03 75 116 001 22", "1 85 03 75 116 001 22"), ("SSN 123-45-6789", "123-45-6789"),
        ("поліс № АА 12345", "АА 12345"),
        ("Versichertennummer A123456789", "A123456789"), ("hospital record no. 5512", "5512"),
        ("case #4711", "4711"), ("№ історії хвороби: 12345", "12345"), ("номер карти 4512", "4512"),
        ("Fall-Nr. 4512", "4512"),
        ("N° dossier 4512", "4512"), ("іст. хв. № 12345", "12345"), ("MRN-123456", "123456"),
        ("ЕСОЗ ID 12345678", "12345678"),
        ("СНИЛС 112-233-445 95", "112-233-445 95"), ("амбулаторна картка номер 512", "512"),
    ],
)  # fmt: skip
def test_sec_04_a_record_number_is_found(text: str, number: str) -> None:
    assert found(text) == [(number, "record_number")]


@pytest.mark.parametrize(
    "address", ["ivan @ukr.net", "ivan(at)ukr.net", "ivan [собака] ukr.net", "ivan собака ukr.net", "i.k@пошта.укр"]
)
def test_sec_04_a_mail_address_is_found_in_disguise(address: str) -> None:
    assert found(f"пишіть на {address}, дякую") == [(address, "email")]


def test_sec_04_an_account_is_a_long_number() -> None:
    assert found("рахунок UA21 3223 1300 0002 6007 2335 6600 1") == [
        ("UA21 3223 1300 0002 6007 2335 6600 1", "long_number")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "синдром Гієна-Барре, хвороба Крона, шкала Глазго 9, хвороба Паркінсона, проба Манту 17 мм, Вільсон, Мейо",
        "Parkland formula, Wilson's disease, Crohn, Mayo Clinic, Johns Hopkins, Guillain-Barré, Ann Arbor IIB",
        "Charles Bonnet syndrome",
        "Otto Bock C-Leg, Karl Storz, апарат Ілізарова, операція Гартмана, за Мадденом, за Юдіним",
        "симптом Щоткіна — Блюмберга",
        "лікарня ім. О. О. Шалімова, Інститут Амосова, лікарня імені Мечникова, Robert Koch Institut",
        "St. Thomas Hospital",
        "хворому Меронем 1 г, пацієнту Цефтріаксон 2 г, хворій Амоксицилін, пацієнту Морфін 10 мг",
        "patient Ringer's lactate",
        "Пацієнт Харківської обласної лікарні, хворий Львівської клініки, поранений з Бахмута",
        "хвора Київського інституту",
        "лікар, лікарка, хірург, нейрохірург, професор, медсестра, ментор; Doctor, surgeon, nurse",
        "Patient Health Questionnaire, Patient Controlled Analgesia, patient-reported outcome, Patient Safety",
        "Основна скарга: біль. Головні ознаки, Головна артерія, Основной диагноз, Умовно. Рівні тропоніну",
        "US Army, U.S. Army, I.V. Ceftriaxone, P.O. Augmentin, E. coli, S. aureus, K. pneumoniae, C. difficile",
        "M. Crohn",
        "Діагноз: S06.5, T79.4, ICD-10 A16.2, TNM T2N1M0, AO 32-B2, ASIA D, ISS 34",
        "250000 МО, до 500000 ОД, AT 120/80, на 100000 населення, вага 102350, в 1 мл 106000 копій, CK 123456 U/L",
        "перелом Колліса, пер. Шопара, пл. тіла 1,7 м2, д. 5, кв. см, 5 кв. см, ш. 3, Gallenweg 5 mm, Beckenring 5 cm",
        "ОГТТ: 0 30 60 90 120 хв; 5,1 10,4 8,7; 0 5 10 15 20 30; 08:30 09:45 10:15 11:20; +38.5 120/80 95 16",
        "Тробоцити 380, Na+ 140 K+ 4.5, 4 × 10⁹/л, 10¹² копій, 10-15-20-25 мг, 1-0-1-0, 100 - 200 - 300",
        "історія хвороби 2014 року, історія хвороби: 3 роки, карта вагітної, case series, chart review",
        "dossier complet",
        "passport REQUIRED, тел. 112, попович пише, кінець\u2028рядка, 18:00/2026-12-27, Певна частина, Керівна роль",
        "паспорт імпланту, тел, дзвонити о 10:30, call 12.11.2026 10:30, телефон",
        "Напередодні Різдва, у Понеділок, МРТ Голови, КТ Органів Грудної Клітки, ЕКГ В Динаміці",
        "Zustand nach Operation, Patient Zustand gut, Patient mit Fieber, die Patientin klagt, Morbus Basedow",
        "тяжкий стан хворого, Хворий Скарги на біль, пацієнт ВІЛ-інфікований, patient HIV positive, Patient NYHA III",
        "Шановні колеги, MR Angiography, солдат Збройних Сил, мати Здорова, lot AB123456, REF: AB123456, Child Pugh C",
        "Стенка кишки утолщена. Оценка по шкале. Переоценка, Denis Browne retractor, vaccinated at birth 02.06.2026",
        "сторінка (@clinic.ua)",
        "наказ № 123/2026, договір № 12/26, ДСТУ 4163, меморандум № 5",
    ],
)  # fmt: skip
def test_sec_04_clinical_text_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_sec_04_every_kind_is_found() -> None:
    text = "a@b.ua 3184710691 АВ123456 12.03.1984 MRN 123456 0671234567 @mama_koval вул. Шевченка 5 Петро Миколайович "
    text += "123456789012"
    assert {kind for _, kind in found(text)} == set(vocabulary.PERSONAL_DATA)
