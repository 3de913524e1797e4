//! Word lists: people, organizations, goods and places.

/// A place in the United States: zip code, a point inside it in millionths of a degree, and its telephone area code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) zip_code: &'static str,
    pub(crate) town: &'static str,
    pub(crate) area_code: &'static str,
    pub(crate) latitude: i64,
    pub(crate) longitude: i64,
}

const fn place(
    zip_code: &'static str,
    town: &'static str,
    area_code: &'static str,
    latitude: i64,
    longitude: i64,
) -> Place {
    Place { zip_code, town, area_code, latitude, longitude }
}

/// Places, the busiest first.
pub(crate) const PLACES: [Place; 40] = [
    place("07102", "Newark", "973", 40_735_000, -74_173_000),
    place("19103", "Philadelphia", "215", 39_952_000, -75_174_000),
    place("10027", "New York", "212", 40_811_000, -73_953_000),
    place("60614", "Chicago", "312", 41_922_000, -87_653_000),
    place("08608", "Trenton", "609", 40_220_000, -74_766_000),
    place("21202", "Baltimore", "410", 39_296_000, -76_607_000),
    place("48201", "Detroit", "313", 42_347_000, -83_060_000),
    place("44114", "Cleveland", "216", 41_513_000, -81_675_000),
    place("02118", "Boston", "617", 42_338_000, -71_070_000),
    place("30310", "Atlanta", "404", 33_727_000, -84_423_000),
    place("77004", "Houston", "713", 29_724_000, -95_363_000),
    place("90011", "Los Angeles", "213", 34_007_000, -118_258_000),
    place("94110", "San Francisco", "415", 37_749_000, -122_415_000),
    place("98104", "Seattle", "206", 47_603_000, -122_329_000),
    place("80205", "Denver", "303", 39_759_000, -104_966_000),
    place("63106", "St. Louis", "314", 38_643_000, -90_208_000),
    place("55404", "Minneapolis", "612", 44_961_000, -93_264_000),
    place("53205", "Milwaukee", "414", 43_053_000, -87_936_000),
    place("15219", "Pittsburgh", "412", 40_443_000, -79_978_000),
    place("14201", "Buffalo", "716", 42_897_000, -78_886_000),
    place("06106", "Hartford", "860", 41_748_000, -72_694_000),
    place("02903", "Providence", "401", 41_819_000, -71_411_000),
    place("33127", "Miami", "305", 25_814_000, -80_205_000),
    place("70113", "New Orleans", "504", 29_941_000, -90_083_000),
    place("37208", "Nashville", "615", 36_177_000, -86_809_000),
    place("38126", "Memphis", "901", 35_125_000, -90_043_000),
    place("40203", "Louisville", "502", 38_245_000, -85_765_000),
    place("46202", "Indianapolis", "317", 39_783_000, -86_162_000),
    place("43205", "Columbus", "614", 39_958_000, -82_966_000),
    place("64127", "Kansas City", "816", 39_088_000, -94_537_000),
    place("73117", "Oklahoma City", "405", 35_479_000, -97_471_000),
    place("75215", "Dallas", "214", 32_749_000, -96_757_000),
    place("78207", "San Antonio", "210", 29_423_000, -98_526_000),
    place("85007", "Phoenix", "602", 33_447_000, -112_089_000),
    place("87102", "Albuquerque", "505", 35_084_000, -106_646_000),
    place("84111", "Salt Lake City", "801", 40_756_000, -111_880_000),
    place("97209", "Portland", "503", 45_530_000, -122_684_000),
    place("95814", "Sacramento", "916", 38_580_000, -121_494_000),
    place("23223", "Richmond", "804", 37_546_000, -77_387_000),
    place("28206", "Charlotte", "704", 35_249_000, -80_828_000),
];

/// Given names, as shown and as used in a mail address.
pub(crate) const GIVEN: [(&str, &str); 32] = [
    ("Aaliyah", "aaliyah"),
    ("Amara", "amara"),
    ("Andre", "andre"),
    ("Beatriz", "beatriz"),
    ("Brian", "brian"),
    ("Carlos", "carlos"),
    ("Chloé", "chloe"),
    ("Darnell", "darnell"),
    ("Destiny", "destiny"),
    ("Elena", "elena"),
    ("Emeka", "emeka"),
    ("Fatima", "fatima"),
    ("Grace", "grace"),
    ("Hannah", "hannah"),
    ("Imani", "imani"),
    ("Jamal", "jamal"),
    ("James", "james"),
    ("José", "jose"),
    ("Keisha", "keisha"),
    ("Kevin", "kevin"),
    ("Linh", "linh"),
    ("Luis", "luis"),
    ("Maria", "maria"),
    ("Mei", "mei"),
    ("Michael", "michael"),
    ("Nadia", "nadia"),
    ("Omar", "omar"),
    ("Priya", "priya"),
    ("Robert", "robert"),
    ("Sofía", "sofia"),
    ("Terrence", "terrence"),
    ("Yusuf", "yusuf"),
];

/// Family names, as shown and as used in a mail address.
pub(crate) const FAMILY: [(&str, &str); 32] = [
    ("Adams", "adams"),
    ("Baker", "baker"),
    ("Brown", "brown"),
    ("Carter", "carter"),
    ("Chen", "chen"),
    ("Davis", "davis"),
    ("Diaz", "diaz"),
    ("Evans", "evans"),
    ("Foster", "foster"),
    ("García", "garcia"),
    ("Green", "green"),
    ("Harris", "harris"),
    ("Hernández", "hernandez"),
    ("Jackson", "jackson"),
    ("Johnson", "johnson"),
    ("Kim", "kim"),
    ("Lewis", "lewis"),
    ("Martin", "martin"),
    ("Müller", "mueller"),
    ("Nguyen", "nguyen"),
    ("O'Brien", "obrien"),
    ("Okafor", "okafor"),
    ("Patel", "patel"),
    ("Ramírez", "ramirez"),
    ("Robinson", "robinson"),
    ("Santos", "santos"),
    ("Smith", "smith"),
    ("Thompson", "thompson"),
    ("Walker", "walker"),
    ("Washington", "washington"),
    ("Williams", "williams"),
    ("Young", "young"),
];

/// Names of merchants, without the town.
pub(crate) const MERCHANTS: [&str; 12] = [
    "Corner Grocery",
    "Ana's Bakery",
    "\"The Grill\" on Main",
    "Fresh Market",
    "Sunrise Diner",
    "Book Nook",
    "Hardware & Home",
    "Sneaker Stop",
    "Family Pharmacy",
    "Little Italy Pizza",
    "Bike Works",
    "Café Esperança",
];

/// Names of charities, without the town.
pub(crate) const CHARITIES: [&str; 8] = [
    "Food Bank of",
    "Second Harvest",
    "Youth League of",
    "Shelter Alliance",
    "Coats for Kids",
    "Literacy Project",
    "Meals Together",
    "After School Arts",
];

/// Goods: article number, name, price in points.
pub(crate) const GOODS: [(&str, &str, i64); 14] = [
    ("COF-012", "Coffee, 12 oz", 5),
    ("BAG-001", "Bagel with cream cheese", 8),
    ("SND-104", "Turkey sandwich", 15),
    ("PIZ-200", "Pizza, large", 30),
    ("GRC-025", "Grocery voucher $2.50", 25),
    ("GRC-100", "Grocery voucher $10", 100),
    ("BUS-DAY", "Bus day pass", 40),
    ("MOV-001", "Movie ticket", 60),
    ("HRC-001", "Haircut", 75),
    ("BKE-TUN", "Bicycle tune-up", 120),
    ("SCH-KIT", "School supplies kit", 50),
    ("DIA-040", "Diapers, 40 pack", 55),
    ("PHA-010", "Pharmacy credit \"Care 10\"", 45),
    ("SHO-KID", "Children's sneakers", 150),
];

/// Builds of the app, for a field that the contract does not know.
pub(crate) const APP_BUILDS: [&str; 5] =
    ["ios-5.14.2+20391", "ios-5.15.0+20412", "android-5.14.1+51877", "android-5.15.0+51940", "web-2026.11.3"];

/// Devices, for a nested field that the contract does not know: already JSON.
pub(crate) const DEVICES: [&str; 4] = [
    r#"{"os":"ios","version":"26.1","model":"iPhone17,2"}"#,
    r#"{"os":"android","version":"16","model":"Pixel 9a"}"#,
    r#"{"os":"android","version":"15","model":"SM-A556E","rooted":false}"#,
    r#"{"os":"ios","version":"18.6","model":"iPhone14,5","locale":"es-US"}"#,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zip_codes_are_five_digits_within_the_states() {
        for place in PLACES {
            assert!(place.zip_code.len() == 5 && place.zip_code.bytes().all(|byte| byte.is_ascii_digit()));
            assert!((24_000_000..49_000_000).contains(&place.latitude), "{}", place.town);
            assert!((-125_000_000..-67_000_000).contains(&place.longitude), "{}", place.town);
        }
    }

    #[test]
    fn mail_names_are_plain_letters() {
        for (_, mail) in GIVEN.iter().chain(&FAMILY) {
            assert!(mail.bytes().all(|byte| byte.is_ascii_lowercase()), "{mail}");
        }
    }
}
