//! Pages of lists: how long one is, where the others are, and the moments that narrow a list.

use form_urlencoded::Serializer;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::ToSchema;

use super::parameters::Must;
use crate::store::moment::moment;

/// How many entries a page has if nobody asks for another number.
const SIZE: u32 = 50;

/// How many entries a page has at most. Who asks for more gets so many, as Twilio's libraries expect.
const SIZE_MAX: u32 = 1000;

/// The largest number that is read.
const NUMBER_MAX: u32 = i32::MAX.unsigned_abs();

/// How many entries a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = i32, minimum = 1, maximum = 2147483647)]
pub(super) struct PageSize(u32);

impl PageSize {
    /// In entries.
    pub(super) const fn entries(self) -> u32 {
        self.0
    }

    /// One more than the page holds tells whether there is another page.
    pub(super) const fn and_one(self) -> u32 {
        self.0.saturating_add(1)
    }

    /// At most a page of rows, and whether there are more.
    pub(super) fn cut<T>(self, mut rows: Vec<T>) -> (Vec<T>, bool) {
        let size = usize::try_from(self.0).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        (rows, more)
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(SIZE)
    }
}

impl TryFrom<String> for PageSize {
    type Error = Must;

    fn try_from(text: String) -> Result<Self, Must> {
        let size = text.parse().ok().filter(|size| (1..=NUMBER_MAX).contains(size));
        size.map(|size| Self(size.min(SIZE_MAX))).ok_or(Must("a whole number from 1 on"))
    }
}

/// Which page, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = i32, minimum = 0, maximum = 2147483647)]
pub(super) struct PageNumber(pub(super) u32);

impl TryFrom<String> for PageNumber {
    type Error = Must;

    fn try_from(text: String) -> Result<Self, Must> {
        let number = text.parse().ok().filter(|number| *number <= NUMBER_MAX);
        number.map(Self).ok_or(Must("a whole number from 0 on"))
    }
}

/// A date (YYYY-MM-DD), which stands for its midnight in UTC, or a moment (YYYY-MM-DDThh:mm:ssZ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?$")]
pub(super) struct Moment(pub(super) Timestamp);

impl TryFrom<String> for Moment {
    type Error = Must;

    fn try_from(text: String) -> Result<Self, Must> {
        moment(&text).map(Self).ok_or(Must("a date (YYYY-MM-DD) or a moment (YYYY-MM-DDThh:mm:ssZ)"))
    }
}

/// The address of a page: what was `given` narrows it too, but for the parameters in `own`, which say which page it is.
pub(super) fn address(path: &str, given: &[(String, String)], own: &[(&str, Option<String>)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(given.iter().filter(|(name, _)| own.iter().all(|(own, _)| own != name)));
    query.extend_pairs(own.iter().filter_map(|(name, value)| value.as_ref().map(|value| (*name, value.as_str()))));
    format!("{path}?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_s_address_keeps_what_narrows_the_list_and_says_which_page_it_is() {
        let given = [("To", "+1"), ("Page", "3"), ("PageToken", "PA1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let own = [("Page", Some("4".to_owned())), ("PageToken", None)];
        assert_eq!(address("/Calls.json", &given, &own), "/Calls.json?To=%2B1&Page=4");
    }

    #[test]
    fn a_page_has_as_many_entries_as_asked_for_up_to_a_limit() {
        let size = |text: &str| PageSize::try_from(text.to_owned()).map(PageSize::entries).ok();
        assert_eq!(
            (size("1"), size("5000"), size("0"), size("-1"), size("4294967296")),
            (Some(1), Some(SIZE_MAX), None, None, None)
        );
        assert_eq!(PageSize(2).cut(vec![1, 2, 3]), (vec![1, 2], true));
        assert_eq!(PageSize(2).cut(vec![1, 2]), (vec![1, 2], false));
    }
}
