//! SQL functions for distinct counts of degraded intervals: unions of the sketches in `sketches`.
//!
//! Names and results are those of Spark SQL. `hll_union_agg(sketch [, allow different sizes])`, also
//! named `hll_union`, is the union as an Apache DataSketches image. `hll_sketch_estimate(image)`, also
//! named `hll_estimate`, is the rounded number of addresses in an image.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray as _, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;
use datasketches::hll::{HllSketch, HllType, HllUnion};

/// Registers both functions in a session.
pub fn register(context: &SessionContext) {
    let either = vec![TypeSignature::Any(1), TypeSignature::Any(2)];
    context.register_udaf(AggregateUDF::from(Union {
        signature: Signature::one_of(either, Volatility::Immutable),
        aliases: vec!["hll_union".to_owned()],
    }));
    context.register_udf(ScalarUDF::from(Estimate {
        signature: Signature::any(1, Volatility::Immutable),
        aliases: vec!["hll_estimate".to_owned()],
    }));
}

fn sketch(image: &[u8]) -> Result<HllSketch> {
    HllSketch::deserialize(image)
        .map_err(|error| exec_datafusion_err!("a value is not an HLL sketch: {error}"))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Union {
    signature: Signature,
    aliases: Vec<String>,
}

impl AggregateUDFImpl for Union {
    fn name(&self) -> &'static str {
        "hll_union_agg"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(UnionState::default()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format!("{}[union]", args.name);
        let any = format!("{}[any size]", args.name);
        Ok(vec![
            Arc::new(Field::new(name, DataType::Binary, true)),
            Arc::new(Field::new(any, DataType::Boolean, true)),
        ])
    }
}

#[derive(Debug, Default)]
struct UnionState {
    union: Option<HllUnion>,
    /// Sketches of several sizes may be united. By default they may not, as in Spark.
    any_size: bool,
}

impl UnionState {
    fn add(&mut self, images: &ArrayRef) -> Result<()> {
        let images = cast(images, &DataType::BinaryView)?;
        for image in images.as_binary_view().iter().flatten() {
            let sketch = sketch(image)?;
            let lg_k = sketch.lg_config_k();
            let union = match &mut self.union {
                Some(union) if union.lg_config_k() != lg_k && !self.any_size => {
                    return exec_err!(
                        "sketches of lg_k {} and {lg_k} do not unite: choose one (WHERE lg_k = ...), or give true as second argument",
                        union.lg_config_k()
                    );
                }
                Some(union) => union,
                none => {
                    let union = HllUnion::new(lg_k)
                        .map_err(|error| exec_datafusion_err!("cannot unite: {error}"))?;
                    none.insert(union)
                }
            };
            union.update(&sketch);
        }
        Ok(())
    }

    fn image(&self) -> Option<Vec<u8>> {
        let union = self.union.as_ref()?;
        Some(union.to_sketch(HllType::Hll8).serialize())
    }
}

impl Accumulator for UnionState {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if let Some(allowed) = values.get(1) {
            let allowed = cast(allowed, &DataType::Boolean)?;
            self.any_size |= allowed.as_boolean().iter().flatten().any(|allowed| allowed);
        }
        self.add(&values[0])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(self.image()))
    }

    fn size(&self) -> usize {
        let sketch = self.union.as_ref().map_or(0, HllUnion::estimated_size);
        size_of_val(self) + sketch
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::Binary(self.image()),
            ScalarValue::Boolean(Some(self.any_size)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.any_size |= states[1].as_boolean().iter().flatten().any(|any| any);
        self.add(&states[0])
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Estimate {
    signature: Signature,
    aliases: Vec<String>,
}

impl ScalarUDFImpl for Estimate {
    fn name(&self) -> &'static str {
        "hll_sketch_estimate"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let images = args.args[0].to_array(args.number_rows)?;
        let images = cast(&images, &DataType::BinaryView)?;
        let estimates: Result<Int64Array> = (images.as_binary_view().iter())
            .map(|image| match image {
                None => Ok(None),
                Some(image) => Ok(Some(sketch(image)?.estimate().round() as i64)),
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(estimates?)))
    }
}
