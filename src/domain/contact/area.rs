//! The 67 Brazilian area codes (DDD), each with its state and region.
//!
//! Source: Anatel's national numbering plan (Plano Geral de Códigos Nacionais). Some codes cover
//! parts of two states, for example 61 and 87. They are listed with their main state.

use crate::domain::Invalid;
use std::fmt;

/// A state of Brazil (UF), named by its two-letter abbreviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is its own abbreviation")]
#[rustfmt::skip]
pub enum State {
    Ac, Al, Am, Ap, Ba, Ce, Df, Es, Go, Ma, Mg, Ms, Mt, Pa, Pb, Pe, Pi, Pr, Rj, Rn, Ro, Rr, Rs, Sc, Se, Sp, To,
}

/// One of Brazil's five regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is its own name")]
pub enum Region {
    Norte,
    Nordeste,
    CentroOeste,
    Sudeste,
    Sul,
}

use State::*;

/// Every area code with its main state, in ascending order.
#[rustfmt::skip]
pub const AREAS: [(u8, State); 67] = [
    (11, Sp), (12, Sp), (13, Sp), (14, Sp), (15, Sp), (16, Sp), (17, Sp), (18, Sp), (19, Sp),
    (21, Rj), (22, Rj), (24, Rj), (27, Es), (28, Es),
    (31, Mg), (32, Mg), (33, Mg), (34, Mg), (35, Mg), (37, Mg), (38, Mg),
    (41, Pr), (42, Pr), (43, Pr), (44, Pr), (45, Pr), (46, Pr), (47, Sc), (48, Sc), (49, Sc),
    (51, Rs), (53, Rs), (54, Rs), (55, Rs),
    (61, Df), (62, Go), (63, To), (64, Go), (65, Mt), (66, Mt), (67, Ms), (68, Ac), (69, Ro),
    (71, Ba), (73, Ba), (74, Ba), (75, Ba), (77, Ba), (79, Se),
    (81, Pe), (82, Al), (83, Pb), (84, Rn), (85, Ce), (86, Pi), (87, Pe), (88, Ce), (89, Pi),
    (91, Pa), (92, Am), (93, Pa), (94, Pa), (95, Rr), (96, Ap), (97, Am), (98, Ma), (99, Ma),
];

impl State {
    /// All states.
    #[rustfmt::skip]
    pub const ALL: [Self; 27] = [
        Ac, Al, Am, Ap, Ba, Ce, Df, Es, Go, Ma, Mg, Ms, Mt, Pa, Pb, Pe, Pi, Pr, Rj, Rn, Ro, Rr, Rs, Sc, Se, Sp, To,
    ];

    /// Parses an abbreviation, in upper or lower case.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(text)).ok_or(Invalid::new(
            "unknown_state",
            "is not a state (UF): AC, AL, AM, AP, BA, CE, DF, ES, GO, MA, MG, MS, MT, PA, PB, PE, PI, PR, RJ, RN, RO, RR, \
             RS, SC, SE, SP, TO",
        ))
    }

    /// The two-letter abbreviation in upper case.
    #[rustfmt::skip]
    pub const fn as_str(self) -> &'static str {
        match self {
            Ac => "AC", Al => "AL", Am => "AM", Ap => "AP", Ba => "BA", Ce => "CE", Df => "DF", Es => "ES", Go => "GO",
            Ma => "MA", Mg => "MG", Ms => "MS", Mt => "MT", Pa => "PA", Pb => "PB", Pe => "PE", Pi => "PI", Pr => "PR",
            Rj => "RJ", Rn => "RN", Ro => "RO", Rr => "RR", Rs => "RS", Sc => "SC", Se => "SE", Sp => "SP", To => "TO",
        }
    }

    /// The region of the state.
    pub const fn region(self) -> Region {
        match self {
            Ac | Am | Ap | Pa | Ro | Rr | To => Region::Norte,
            Al | Ba | Ce | Ma | Pb | Pe | Pi | Rn | Se => Region::Nordeste,
            Df | Go | Ms | Mt => Region::CentroOeste,
            Es | Mg | Rj | Sp => Region::Sudeste,
            Pr | Rs | Sc => Region::Sul,
        }
    }
}

impl Region {
    /// All regions.
    pub const ALL: [Self; 5] = [Self::Norte, Self::Nordeste, Self::CentroOeste, Self::Sudeste, Self::Sul];

    /// Parses a name, in upper or lower case.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|region| region.as_str().eq_ignore_ascii_case(text))
            .ok_or(Invalid::new("unknown_region", "is not a region: Norte, Nordeste, Centro-Oeste, Sudeste, Sul"))
    }

    /// The name in Portuguese.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Norte => "Norte",
            Self::Nordeste => "Nordeste",
            Self::CentroOeste => "Centro-Oeste",
            Self::Sudeste => "Sudeste",
            Self::Sul => "Sul",
        }
    }
}

/// A valid area code (DDD), 11 to 99.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AreaCode {
    code: u8,
    state: State,
}

impl AreaCode {
    /// Makes an area code from a number. Fails if it is not one of the 67 codes.
    pub fn new(code: u8) -> Result<Self, Invalid> {
        AREAS
            .iter()
            .find(|(known, _)| *known == code)
            .map(|&(code, state)| Self { code, state })
            .ok_or(Invalid::new("unknown_area_code", "is not one of Brazil's 67 area codes (DDD), such as 11 or 85"))
    }

    /// All 67 area codes, in ascending order.
    pub fn all() -> impl Iterator<Item = Self> {
        AREAS.into_iter().map(|(code, state)| Self { code, state })
    }

    /// Parses exactly two digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let two_digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(code) if two_digits => Self::new(code),
            _ => Err(Invalid::new("malformed", "must be an area code (DDD) of two digits, such as 11")),
        }
    }

    /// The code as a number.
    pub const fn number(self) -> u8 {
        self.code
    }

    /// The main state of the area code.
    pub const fn state(self) -> State {
        self.state
    }
}

impl fmt::Display for AreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.code, f)
    }
}

impl fmt::Debug for AreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AreaCode({})", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_sorted() {
        assert!(AREAS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let by_region = |region| AREAS.iter().filter(|(_, state)| state.region() == region).count();
        // The number of codes of each state, counted in the numbering plan and not in the table above.
        assert_eq!(by_region(Region::Sudeste), 9 + 3 + 2 + 7);
        assert_eq!(by_region(Region::Sul), 6 + 3 + 4);
        assert_eq!(by_region(Region::CentroOeste), 1 + 2 + 2 + 1);
        assert_eq!(by_region(Region::Norte), 1 + 1 + 3 + 2 + 1 + 1 + 1);
        assert_eq!(by_region(Region::Nordeste), 5 + 1 + 2 + 1 + 1 + 1 + 2 + 2 + 2);
    }

    #[test]
    fn states_and_regions_parse_in_upper_and_lower_case() {
        for state in State::ALL {
            assert_eq!(State::parse(&state.as_str().to_lowercase()), Ok(state));
            assert!(AreaCode::all().any(|area| area.state() == state), "{state:?} has no area code");
        }
        assert!(State::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        for region in Region::ALL {
            assert_eq!(Region::parse(&region.as_str().to_uppercase()), Ok(region));
            assert_eq!(Region::parse(region.as_str()), Ok(region));
            assert!(State::ALL.iter().any(|state| state.region() == region));
        }
        for (wrong, code) in [("", "unknown_state"), ("XX", "unknown_state"), ("SPX", "unknown_state")] {
            assert_eq!(State::parse(wrong).map_err(|invalid| invalid.code), Err(code));
        }
        assert_eq!(Region::parse("Centro Oeste").map_err(|invalid| invalid.code), Err("unknown_region"));
    }

    #[test]
    fn only_the_67_codes_parse() {
        let valid: Vec<u8> = (0..=255).filter(|code| AreaCode::new(*code).is_ok()).collect();
        assert_eq!(valid.len(), 67);
        for wrong in ["", "1", "011", "+1", " 11", "1a", "20", "00", "１１"] {
            assert!(AreaCode::parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(AreaCode::parse("85").map(|area| area.state().as_str()), Ok("CE"));
    }
}
