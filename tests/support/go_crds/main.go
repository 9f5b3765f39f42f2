// Command go_crds answers what an API server would say of a custom resource.
//
// Its arguments are the files of CustomResourceDefinitions. Each line of standard input is a
// request in JSON: {"kind", "object", "old"}; "old" is null for a creation. Each line of standard
// output is the answer: {"object", "unknown", "errors"}, the object with defaults and without
// unknown fields. It uses the packages that the API server itself is made of.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

type request struct {
	Kind   string         `json:"kind"`
	Object map[string]any `json:"object"`
	Old    map[string]any `json:"old"`
}

type answer struct {
	Object  map[string]any `json:"object"`
	Unknown []string       `json:"unknown"`
	Errors  []string       `json:"errors"`
}

type checker struct {
	structural *schema.Structural
	openAPI    validation.SchemaValidator
	rules      *cel.Validator
}

func load(file string) (string, *checker, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	var given v1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &given); err != nil {
		return "", nil, err
	}
	v1.SetDefaults_CustomResourceDefinition(&given)
	v1.SetDefaults_CustomResourceDefinitionSpec(&given.Spec)
	given.Status.StoredVersions = []string{given.Spec.Versions[0].Name}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	var internal apiextensions.CustomResourceDefinition
	if err := scheme.Convert(&given, &internal, nil); err != nil {
		return "", nil, err
	}
	if faults := definitions.ValidateCustomResourceDefinition(context.Background(), &internal); len(faults) > 0 {
		return "", nil, fmt.Errorf("%s: %w", file, faults.ToAggregate())
	}
	// With one version the conversion moves its schema to the top.
	whole := internal.Spec.Validation
	if whole == nil {
		whole = internal.Spec.Versions[0].Schema
	}
	structural, err := schema.NewStructural(whole.OpenAPIV3Schema)
	if err != nil {
		return "", nil, err
	}
	openAPI, _, err := validation.NewSchemaValidator(whole.OpenAPIV3Schema)
	if err != nil {
		return "", nil, err
	}
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	return given.Spec.Names.Kind, &checker{structural, openAPI, rules}, nil
}

func (c *checker) check(asked request) answer {
	object := asked.Object
	track := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	unknown := pruning.PruneWithOptions(object, c.structural, true, track)
	defaulting.PruneNonNullableNullsWithoutDefaults(object, c.structural)
	defaulting.Default(object, c.structural)
	var old any
	if asked.Old != nil {
		old = asked.Old
	}
	faults := validation.ValidateCustomResource(nil, object, c.openAPI)
	faults = append(faults, listtype.ValidateListSetsAndMaps(nil, c.structural, object)...)
	if !blocked(faults) {
		broken, _ := c.rules.Validate(
			context.Background(), nil, c.structural, object, old, celconfig.RuntimeCELCostBudget)
		faults = append(faults, broken...)
	}
	errors := []string{}
	for _, fault := range faults {
		errors = append(errors, fault.Error())
	}
	return answer{object, unknown, errors}
}

// blocked tells whether the API server leaves the rules unchecked, as their values may not fit.
func blocked(faults field.ErrorList) bool {
	for _, fault := range faults {
		switch fault.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong,
			field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}

func main() {
	checkers := map[string]*checker{}
	for _, file := range os.Args[1:] {
		kind, made, err := load(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		checkers[kind] = made
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil || checkers[asked.Kind] == nil {
			fmt.Fprintln(os.Stderr, "not a request:", err)
			os.Exit(1)
		}
		numbers(asked.Object)
		numbers(asked.Old)
		if err := out.Encode(checkers[asked.Kind].check(asked)); err != nil {
			os.Exit(1)
		}
	}
}

// numbers makes whole numbers integers, as the API server's own decoder does.
func numbers(value any) any {
	switch known := value.(type) {
	case map[string]any:
		for key, item := range known {
			known[key] = numbers(item)
		}
	case []any:
		for index, item := range known {
			known[index] = numbers(item)
		}
	case float64:
		if known == float64(int64(known)) {
			return int64(known)
		}
	}
	return value
}
