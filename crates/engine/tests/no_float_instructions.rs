//! The compiled engine must not compute with floating-point numbers: every function of it in this very executable is
//! disassembled.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use assay_engine::{Backend, Engine, Generation, Meter, Model, Options, run};
use iced_x86::{Decoder, DecoderOptions};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// Whether an instruction computes with floating-point numbers, or converts them. Moves, shuffles and bitwise operations
/// carry bits of any meaning.
fn is_float(mnemonic: &str) -> bool {
    let name = mnemonic.to_lowercase();
    // The x87 unit knows nothing else.
    if name.starts_with('f') && !name.starts_with("fx") {
        return true;
    }
    let name = name.strip_prefix('v').unwrap_or(&name);
    let packed_or_scalar = ["ss", "sd", "ps", "pd", "sh", "ph"].iter().any(|end| name.ends_with(end));
    let computes = [
        "add", "sub", "mul", "div", "sqrt", "min", "max", "rcp", "rsqrt", "round", "rndscale", "reduce",
        "range", "scalef", "getexp", "getmant", "fixup", "hadd", "hsub", "dp", "cmp", "comi", "ucomi",
        "fmadd", "fmsub", "fnmadd", "fnmsub", "fmaddsub", "fmsubadd", "exp2",
    ];
    // `cvtsi2sd`, `cvtdq2ps`, `cvttsd2si`, …; `vpmovqd` and its like convert integers and are called moves.
    name.starts_with("cvt") || packed_or_scalar && computes.iter().any(|begin| name.starts_with(begin))
}

/// Names of the functions that hold a floating-point instruction, with the instruction, and how many were looked at.
fn float_functions(wanted: impl Fn(&str) -> bool) -> (Vec<String>, usize) {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let (mut found, mut seen) = (Vec::new(), 0);
    for symbol in file.symbols().filter(|s| s.kind() == SymbolKind::Text && s.size() > 0) {
        let name = symbol.name().unwrap();
        if !wanted(name) {
            continue;
        }
        seen += 1;
        let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
        let code = section.data_range(symbol.address(), symbol.size()).unwrap().unwrap();
        for instruction in Decoder::with_ip(64, code, symbol.address(), DecoderOptions::NONE) {
            let mnemonic = format!("{:?}", instruction.mnemonic());
            if is_float(&mnemonic) {
                found.push(format!("{name}: {mnemonic}"));
                break;
            }
        }
    }
    (found, seen)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn adds_floats(a: f32, b: f32) -> f32 {
    std::hint::black_box(a) + b
}

#[test]
fn compiled_code_holds_no_float_instruction() {
    // What is not used is not linked.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tales-300k.gguf");
    let model = Model::open(path).unwrap();
    let input = assay_protocol::InferenceInput {
        nonce: [0; 16],
        max_tokens: 2,
        sampling: assay_protocol::Sampling { seed: 1, temperature: 800, top_p: 900, top_k: 9 },
        stop: vec![],
        tokens: vec![5; 3],
    };
    let used: (fn(_, _) -> _, fn(_, _, _) -> _) = (Engine::new, Generation::start);
    std::hint::black_box((used, model.root(), Meter::new(&model, Options::default())));
    for backend in Backend::available() {
        assert!(
            !run(&model, &input, None, Options { backend, ..Options::default() }).unwrap().tokens.is_empty()
        );
    }

    // The check sees what it looks for.
    assert!(adds_floats(1.0, 2.0) > 2.5);
    let (found, seen) = float_functions(|name| name == "adds_floats");
    assert_eq!((found.len(), seen), (1, 1));

    // Chat templates know floats, as their language does, and are no part of the function.
    let (found, seen) = float_functions(|name| name.contains("assay_engine") && !name.contains("8template"));
    assert!(seen > 200, "only {seen} functions of the engine found");
    assert!(found.is_empty(), "{found:#?}");
    println!("{seen} functions of the engine, none with a floating-point instruction");
}
